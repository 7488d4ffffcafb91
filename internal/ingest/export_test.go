package ingest

// ReplaceIdle has the worker of a shard replaced that waits for something to do: so it
// may be when the watchdog's word comes late.
func (in *Ingest) ReplaceIdle(shard int) {
	sh := in.shards[shard]
	p := sh.pulse.Load()
	in.commands <- command{kind: cmdReplace, shard: sh, pulse: p, stall: in.stallOf(shard, p, 0, "a test")}
}
