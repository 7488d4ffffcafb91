package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"

	"github.com/spillway-sync/spillway/internal/wal"
)

// The bytes on disk. docs/format.md, section "Journal", has the drawing; all
// numbers are little endian.
//
// Segment header:
//
//	 0 magic     8 bytes
//	 8 version   u32
//	12 flags     u32   headerOpen, headerBlind
//	16 sequence  u64   the number in the file's name
//	24 position  u64   the highest position of all frames before this segment
//	32 previous  u64   how many bytes of the segment before this one count
//	40 length    u32   of the preamble
//	44 checksum  u32   CRC32C of bytes 0–43 and the preamble
//	48 preamble
//
// Frame:
//
//	 0 checksum  u32   CRC32C of the sequence and all that follows
//	 4 length    u32   of the data
//	 8 position  u64   0: none
//	16 synced    u64   this many bytes of this file were fsynced when this frame was written
//	24 kind      u8
//	25 flags     u8    frameOpen
//	26 zero      u16
//	28 data
const (
	magic         = "spilljnl"
	FormatVersion = 1

	headerLen = 48 // bytes of a segment header before the preamble
	frameLen  = 28 // bytes of a frame before its data

	headerOpen  = 1 << 0 // a transaction is open at the segment's start
	headerBlind = 1 << 1 // relations announced before the segment's start are not in its preamble

	frameOpen = 1 << 0

	// kindSeal is written by Close as the last frame of a file. It says nothing
	// but that all before it is fsynced, so that damage to a journal that was
	// closed well is never taken for a torn tail.
	kindSeal wal.FrameKind = 0xff

	fileSuffix = ".journal"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var errHeader = errors.New("no intact segment header")

// header is what a segment's first bytes say.
type header struct {
	sequence uint64
	previous int64
	state    state // at the segment's start
}

func appendHeader(dst []byte, h header) []byte {
	start := len(dst)
	var flags uint32
	if h.state.open {
		flags |= headerOpen
	}
	if !h.state.known {
		flags |= headerBlind
	}
	dst = append(dst, magic...)
	dst = binary.LittleEndian.AppendUint32(dst, FormatVersion)
	dst = binary.LittleEndian.AppendUint32(dst, flags)
	dst = binary.LittleEndian.AppendUint64(dst, h.sequence)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(h.state.pos))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(h.previous))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(h.state.preamble)))
	sum := crc32.Update(crc32.Checksum(dst[start:], castagnoli), castagnoli, h.state.preamble)
	dst = binary.LittleEndian.AppendUint32(dst, sum)
	return append(dst, h.state.preamble...)
}

// preambleLen returns the length of the preamble behind the fixed part b of a
// header, which must be headerLen bytes.
func preambleLen(b []byte) (int64, error) {
	if string(b[:8]) != magic {
		return 0, errHeader
	}
	return int64(binary.LittleEndian.Uint32(b[40:])), nil
}

// parseHeader reads a whole header, preamble included. The preamble aliases b.
func parseHeader(b []byte) (header, error) {
	sum := crc32.Update(crc32.Checksum(b[:44], castagnoli), castagnoli, b[headerLen:])
	if sum != binary.LittleEndian.Uint32(b[44:]) {
		return header{}, errHeader
	}
	if v := binary.LittleEndian.Uint32(b[8:]); v != FormatVersion {
		return header{}, fmt.Errorf("format version %d, this program reads version %d", v, FormatVersion)
	}
	flags := binary.LittleEndian.Uint32(b[12:])
	return header{
		sequence: binary.LittleEndian.Uint64(b[16:]),
		previous: int64(binary.LittleEndian.Uint64(b[32:])),
		state: state{
			pos:      wal.LSN(binary.LittleEndian.Uint64(b[24:])),
			open:     flags&headerOpen != 0,
			known:    flags&headerBlind == 0,
			preamble: b[headerLen:],
		},
	}, nil
}

// seedOf begins the checksum of every frame of a segment, so that a frame is
// intact only in the segment it was written to.
func seedOf(sequence uint64) uint32 {
	return crc32.Checksum(binary.LittleEndian.AppendUint64(nil, sequence), castagnoli)
}

func frameSize(f *wal.Frame) int64 { return frameLen + int64(len(f.Data)) }

func appendFrame(dst []byte, seed uint32, synced int64, f *wal.Frame) []byte {
	start := len(dst)
	var flags byte
	if f.Open {
		flags |= frameOpen
	}
	dst = append(dst, 0, 0, 0, 0)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(f.Data)))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(f.Position))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(synced))
	dst = append(dst, byte(f.Kind), flags, 0, 0)
	dst = append(dst, f.Data...)
	binary.LittleEndian.PutUint32(dst[start:], crc32.Update(seed, castagnoli, dst[start+4:]))
	return dst
}

func dataLen(b []byte) int64 { return int64(binary.LittleEndian.Uint32(b[4:])) }

func syncedOf(b []byte) int64 { return int64(binary.LittleEndian.Uint64(b[16:])) }

// plausible is a cheap look at a frame's first frameLen bytes.
func plausible(b []byte) bool {
	k := wal.FrameKind(b[24])
	known := k >= wal.FrameData && k <= wal.FrameProgress || k == kindSeal
	return known && b[25]&^frameOpen == 0 && b[26] == 0 && b[27] == 0
}

// intact reports whether b, cut to the length that it says, is a frame of the
// segment with this seed.
func intact(b []byte, seed uint32) bool {
	return plausible(b) &&
		crc32.Update(seed, castagnoli, b[4:]) == binary.LittleEndian.Uint32(b)
}

// frameOf reads an intact frame. Data aliases b.
func frameOf(b []byte) wal.Frame {
	f := wal.Frame{
		Kind:     wal.FrameKind(b[24]),
		Position: wal.LSN(binary.LittleEndian.Uint64(b[8:])),
		Open:     b[25]&frameOpen != 0,
	}
	if len(b) > frameLen {
		f.Data = b[frameLen:len(b):len(b)]
	}
	return f
}

func fileName(sequence uint64) string { return fmt.Sprintf("%012d%s", sequence, fileSuffix) }

// sequenceOf reads a segment's number from its file name.
func sequenceOf(name string) (uint64, bool) {
	digits, ok := strings.CutSuffix(name, fileSuffix)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, err == nil && n > 0 && fileName(n) == name
}
