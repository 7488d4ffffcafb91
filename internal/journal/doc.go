// Package journal keeps the raw stream on disk until everybody who needs it has
// it durably elsewhere. What we confirm to Postgres is what is fsynced here, and
// nothing else.
//
// It owns the segment files in one directory, the goroutine that writes them and
// the memory window of recent frames. It does not know what a shape is and does
// not look into the messages: a frame is bytes, a position and two flags.
//
// How it works. Offer puts a frame in a queue. The writer takes all that is
// queued, writes it with as few writes as possible, does one fsync for all of it
// (group commit), and only then shows it to readers and moves Synced. A Reader
// gets frames from the memory window, which all readers share, and from the
// files when it is behind the window. Trim deletes whole segments.
//
// Invariants:
//
//  1. A reader never sees a frame that is not fsynced. Readers see frames in the
//     order of Offer, each once, without a gap. (One exception, without loss: a
//     reader that Trim overtakes, see Reader.)
//  2. A segment file is created only after all frames of the segment before it
//     are fsynced, and its frames count only after file and directory are synced.
//  3. A file written by an earlier process is never written again: the first
//     frame after Open begins a new segment, whose header says how many bytes of
//     the segment before it count. So a torn tail is cut for ever without
//     touching it, and no stale byte behind it can come back to life.
//  4. A fault in a file is a torn tail only in the last segment and only if no
//     intact frame behind it vouches that its place was fsynced (format.go,
//     "synced"). Any other fault is a *CorruptError: never a silent hole.
//  5. Headers' positions never go back: they are the highest position of all
//     frames before them. Frames' positions may (Postgres sends again).
//  6. A failed fsync is final: the pages it lost may look clean afterwards, so a
//     second fsync that succeeds proves nothing.
//  7. mu is a leaf and is never held across I/O. Offer, Next on the window, Stats
//     and Synced therefore never wait for the disk, whatever the writer does.
//
// The caller sees to it that one process at a time has the directory, and that
// the directory's ancestors but the nearest are durable.
//
// Rejected: truncating a torn tail (vfs has no truncate, and see 3);
// pebble/record for the framing (its 32 KiB blocks split frames, so that a
// reader must copy, and its reader takes any fault for the end of the log);
// one file handle for reading and writing (a reader inside a deleted segment
// keeps its own).
//
// Files: journal.go options, Open, Offer, Close · writer.go the goroutine ·
// window.go recent frames · reader.go · trim.go · recovery.go what Open finds ·
// look.go the same without changing anything ·
// format.go bytes on disk · cursor.go frames out of a file · stats.go.
package journal
