#!/bin/sh
# Breaks each guard of the promise in turn, in a copy of the tree, and makes sure
# that a test fails for it. A mutant that survives, or one whose line is not there
# any more, is an error. docs/ARCHITECTURE.md, "Mutation check", lists them.
#
#   sh scripts/mutants.sh [name…]
set -eu
cd "$(dirname "$0")/.."
GO=${GO:-go}
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT INT TERM
tar -c --exclude=.git --exclude=bin --exclude=node_modules --exclude=spillway-data . | tar -x -C "$tree"
cd "$tree"
wrong=0

# mutant NAME FILE OLD NEW PACKAGE TESTS: OLD is a fixed string of one line.
mutant() {
	[ -z "$only" ] || case " $only " in *" $1 "*) ;; *) return 0 ;; esac
	cp "$2" "$2.whole"
	OLD=$3 NEW=$4 awk '
		BEGIN { old = ENVIRON["OLD"]; new = ENVIRON["NEW"] }
		{ i = index($0, old); if (i && !done) { $0 = substr($0, 1, i-1) new substr($0, i+length(old)); done = 1 } print }
	' "$2.whole" >"$2"
	if cmp -s "$2" "$2.whole"; then
		echo "LOST      $1: $2 has no such line: $3"
		wrong=1
	elif ! $GO build ./... 2>"$tree.build"; then
		echo "UNBUILT   $1: $(head -3 "$tree.build" | tr '\n' ' ')"
		wrong=1
	elif $GO test -count=1 -timeout 5m -run "$6" "$5" >"$tree.out" 2>&1; then
		echo "SURVIVED  $1"
		wrong=1
	else
		echo "killed    $1, by $(sed -n 's/^ *--- FAIL: \([^ ]*\).*/\1/p' "$tree.out" | head -1) of $5"
	fi
	rm -f "$tree.build" "$tree.out"
	mv "$2.whole" "$2"
}
only="$*"

mutant epoch internal/ingest/worker.go \
	'return w.sh.epoch.Load() != w.epoch' 'return w.sh.epoch.Load() < w.epoch' ./internal/ingest 'Zombie|Blocked'
mutant repeated-word internal/flush/tracker.go \
	'if !e.admits(epoch) || upTo < e.from || upTo <= e.durable {' 'if !e.admits(epoch) || upTo < e.from {' ./internal/flush .
mutant equality internal/flush/tracker.go \
	'e.durable >= e.owes' 'e.durable == e.owes' ./internal/flush .
mutant old-epoch internal/flush/entry.go \
	'if epoch < e.epoch {' 'if false {' ./internal/flush .
mutant one-behind internal/flush/tracker.go \
	'to := t.last' 'to := t.last - 1' ./internal/flush .
mutant wall-clock internal/ingest/watchdog.go \
	'{ return min(passed, 2*d.every) }' '{ return passed }' ./internal/ingest 'ObservedTime'
mutant no-guard internal/ingest/guard.go \
	'if stuck <= max(fewShapes, active/5) {' 'if true {' ./internal/ingest 'FaultOfAll|Systemic'
mutant no-hand-over internal/ingest/watchdog.go \
	'id != 0 && was.still-was.excused >= d.in.handOver()' 'false' ./internal/ingest 'BlockedAlways'
mutant no-canary internal/ingest/watchdog.go \
	'if d.canaryStill >= c.late {' 'if false {' ./internal/ingest 'Canary'
mutant no-rate internal/ingest/guard.go \
	'if !t.pardon && len(g.granted) >= evictionsAMinute {' 'if false {' ./internal/ingest 'Verdicts'
mutant endless-patience internal/ingest/join.go \
	'if last.Strikes < patience {' 'if true {' ./internal/ingest 'BlockedAlways|Panic'
mutant unlimited-ghosts internal/ingest/status.go \
	'n > in.opts.GhostLimit {' 'n < 0 {' ./internal/ingest 'GhostLimit'
mutant impatient-budget internal/ingest/budget.go \
	'!in.guard.calm(in.now(), in.watchdog.window())' 'false' ./internal/ingest 'FaultOfAllWithinBudget'
mutant no-limit internal/journal/writer.go \
	'return limit > 0 && j.Stats().Bytes >= limit' 'return limit < 0' ./internal/ingest 'FaultOfAllWithinBudget'
mutant unpin-first internal/ingest/undertaker.go \
	'	sp := b.shape' '	sp := b.shape; in.commands <- command{kind: cmdRemoved, id: sp.ID()}' ./internal/ingest 'HeldUntil'
mutant ack-first internal/journal/journal.go \
	'	return j.tail.pos' '	return max(j.written, j.tail.pos)' ./internal/sim 'TestThousandCrashes|TestSimulation'
mutant no-cursor internal/shapelog/keys.go \
	'if e.Pos == 0 {' 'if true {' ./internal/sim 'TestThousandCrashes'
mutant publish-early internal/ingest/worker.go \
	'	m.shape.Publish(cur.Tail, cur.Tail.Tx)' '	cur.Tail.Op += 2; m.shape.Publish(cur.Tail, cur.Tail.Tx)' ./internal/sim 'TestSimulation'
mutant forgotten-strikes internal/ingest/ingest.go \
	'if in.strikes.of, err = opts.Registry.Strikes(); err != nil {' 'if in.strikes.of, err = make(map[shape.ID]registry.Strike), nil; err != nil {' ./internal/ingest 'StrikesOutlive'
mutant clause-panics internal/route/lookup.go \
	'may = true' 'panic("a clause")' ./internal/ingest 'PanicInAClause'
mutant short-doubt internal/ingest/kin.go \
	'if w.private || at == 0 || w.pos <= wal.LSN(at) {' 'if w.private || at == 0 {' ./internal/ingest 'DoubtLasts'
mutant no-doubt internal/ingest/spine.go \
	'if s.index.InDoubt(ch.Rel) {' 'if false {' ./test/e2e 'TestPartitions$|TestManyShapesOnPartitions'
mutant truncate-under-snapshot internal/pgquery/snapshot.go \
	'script += "LOCK TABLE " + name' 'script += "LOCK TABLE ONLY " + name' ./internal/pgquery 'KeepsTruncateOut'
mutant born-full internal/pgquery/kin.go \
	'then pg_relation_size(c.oid) = 0 else' 'then true else' ./internal/pgquery 'BornEmpty'
mutant detaching-is-there internal/pgquery/kin.go \
	'in (select oid from up)) and not i.inhdetachpending' 'in (select oid from up))' ./test/e2e 'DetachConcurrently'
mutant same-edge internal/engine/kin.go \
	'if slices.Contains(k[e.Child], parent{e.Parent, e.Made}) {' 'if slices.ContainsFunc(k[e.Child], to(e.Parent)) {' ./internal/engine 'KinLearns'
mutant unsent-partition internal/engine/database.go \
	'if !ok {' 'if ok || !ok {' ./internal/engine 'PartitionAfterPublishing'
mutant guess-is-sure internal/route/lookup.go \
	'if sure && e.whole {' 'if e.whole {' ./internal/route 'Twin'
mutant half-is-whole internal/expr/anchor.go \
	'!wholeTerms(arg) || !n.or && !one {' 'n.or && (!one || !wholeTerms(arg)) {' ./internal/route 'Twin'
mutant missed-live internal/engine/reconcile.go \
	'l.Fingerprint != f || id > l.newest' 'l.Fingerprint != f' ./internal/engine 'Looked'
mutant stale-ancestors internal/engine/family.go \
	'for oid := range f.known.Load().above(rel.OID) {' 'for _, oid := range []uint32{rel.OID} {' ./test/e2e 'ColumnOfAllPartitions'
mutant column-by-name internal/shape/fits.go \
	'case n.Num != c.Num:' 'case false:' ./internal/shape 'Fits'
mutant put-back internal/engine/published.go \
	'if ok && !slices.ContainsFunc(m.By' 'if !ok && !slices.ContainsFunc(m.By' ./internal/engine 'PublishedLearns'
mutant equal-rows internal/consume/twins.go \
	'if p.undo(string(key)) {' 'if false {' ./internal/consume 'EqualRows'
mutant unasked-session internal/pgquery/zone.go \
	'if !same {' 'if !same && false {' ./internal/pgquery 'ZoneChanged'
mutant stale-zones internal/engine/zones.go \
	'if known && (is == nil ||' 'if known && false && (is == nil ||' ./test/e2e 'ZoneDataChanges'
mutant another-tail internal/shapelog/read.go \
	'keyShape(it.Key()) != id || !known' '!known' ./internal/shapelog 'Twin'
mutant old-news internal/ingest/announce.go \
	'if a.joined == len(s.joined) && len(a.early) == 0 {' 'if true {' ./internal/ingest 'RelationsAreTold'
mutant late-number internal/registry/registry.go \
	'settled = min(settled, id-1)' 'settled = max(settled, id-1)' ./internal/registry 'Settled'
mutant passed-over internal/shapelog/pebble.go \
	'NewBlockIntervalFilter(times, uint64(after),' 'NewBlockIntervalFilter(times, uint64(after)+1,' ./internal/shapelog .
mutant used-room internal/consume/encoder.go \
	'*t = opened{}' 't.commit = 0' ./internal/consume .
mutant hidden-by-hash internal/registry/illness.go \
	'l.r.byKey.drop(old)' '_ = old' ./internal/registry 'CrashOnTheWay'
mutant final-too-soon internal/api/live.go \
	'if seen < after.Tx &&' 'if seen > after.Tx &&' ./internal/api 'TestScripts'
mutant came-and-went internal/engine/family.go \
	'if m := &all[i]; m.Published {' 'if m := &all[i]; true {' ./internal/engine 'NamedByTheStream'
mutant waits-in-a-circle internal/pgquery/publish.go \
	'limits(max(heldLimit, lock), heldLimit)' 'limits(lockLimit, lock)' ./internal/pgquery 'PublishEndsNobody'
mutant ghosts-word internal/ingest/spine.go \
	'if c.pulse == c.shard.pulse.Load() {' 'if true {' ./internal/ingest 'GhostsWord'

exit $wrong
