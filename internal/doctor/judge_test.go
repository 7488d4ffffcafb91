package doctor

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/spillway-sync/spillway/internal/pgquery"
)

// What cannot be seeded in the Postgres that is here: other versions, clocks, networks.
func testJudgements(t *testing.T) {
	now := time.Now()
	far := &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 5432}
	verified := tls.ConnectionState{Version: tls.VersionTLS13, VerifiedChains: [][]*x509.Certificate{{}}}
	ours := slotWanted{name: "s", database: "d"}
	for _, c := range []struct {
		code  string
		v     Verdict
		text  string
		judge func(group)
	}{
		{"version", Fail, "version 13", func(g group) { judgeServer(g, &pgquery.Server{Version: 130020}, "s") }},
		{"minor_version", Warn, "15.2", func(g group) { judgeServer(g, &pgquery.Server{Version: 150002}, "s") }},
		{"clock", Warn, "behind", func(g group) {
			judgeTimes(g, &serverFacts{Began: now, Clock: now.Add(-time.Minute), Ended: now.Add(time.Second)})
		}},
		{"clock", Warn, "ahead", func(g group) {
			judgeTimes(g, &serverFacts{Began: now, Clock: now.Add(time.Minute), Ended: now.Add(time.Second)})
		}},
		// A slow answer is not a wrong clock.
		{"clock", OK, "", func(g group) {
			judgeTimes(g, &serverFacts{Began: now, Clock: now.Add(time.Second), Ended: now.Add(20 * time.Second)})
		}},
		{"timeouts", OK, "statement_timeout 5s", func(g group) { judgeTimes(g, &serverFacts{StatementTimeout: 5000, Idle: 60_000}) }},
		{"tls", Warn, "plain text", func(g group) { transport(g, far, tls.ConnectionState{}, false) }},
		{"tls", Warn, "not verified", func(g group) { transport(g, far, tls.ConnectionState{Version: tls.VersionTLS13}, true) }},
		{"tls", OK, "verified", func(g group) { transport(g, far, verified, true) }},
		{"tls", OK, "this machine", func(g group) { transport(g, &net.UnixAddr{}, tls.ConnectionState{}, false) }},
		{"free_space", Fail, "1 MiB free", func(g group) { freeSpace(g, 1<<20, 1<<10) }},
		{"free_space", OK, "2 GiB free", func(g group) { freeSpace(g, 2<<30, 1<<30) }},
		{"open_files", OK, "no limit", func(g group) { descriptors(g, &Options{}) }},
		{"slot_lost", Warn, "rows_removed", func(g group) {
			judgeSlot(g, &pgquery.SlotHealth{Exists: true, Plugin: "pgoutput", Database: "d", Invalidation: "rows_removed"}, ours)
		}},
		{"slot_lost", Warn, "about to be lost", func(g group) {
			judgeSlot(g, &pgquery.SlotHealth{Exists: true, Plugin: "pgoutput", Database: "d", WALStatus: "unreserved"}, ours)
		}},
		{"slot_plugin", Fail, "test_decoding", func(g group) {
			judgeSlot(g, &pgquery.SlotHealth{Exists: true, Plugin: "test_decoding", Database: "d"}, ours)
		}},
		{"slot_retains", Warn, "after 1 MiB more", func(g group) { retained(g, &pgquery.SlotHealth{RetainedBytes: 1 << 30, SafeBytes: 1 << 20}, ours) }},
		{"synchronous_standby_names", Warn, "spillway", func(g group) { judgeCommits(g, &serverFacts{SyncStandbys: `ANY 1 (s1, "spillway")`}) }},
		{"partition_unlisted", Fail, "public.root", func(g group) { judgeTables(g, attached(false), false, true, strings.NewReplacer()) }},
		{"partition_unlisted", Fail, "public.root", func(g group) { judgeTables(g, attached(true), true, false, strings.NewReplacer()) }},
		{"tables", OK, "public.root", func(g group) { judgeTables(g, attached(true), false, true, strings.NewReplacer()) }}, // the service adds it
		{"synchronous_commit", OK, "", func(g group) { judgeCommits(g, &serverFacts{SyncCommit: "on", SyncStandbys: "FIRST 1 (s1, s2)"}) }},
	} {
		r := &Report{}
		c.judge(r.group("g"))
		want(t, r, c.code, c.v, c.text)
	}
}

// attached is a root on Postgres 14 with a partition that the publication does not have in
// its own name.
func attached(owned bool) []*table {
	root := pgquery.Member{OID: 1, Kind: "p", Persistence: "p", Owned: true, Published: true}
	part := pgquery.Member{OID: 2, Kind: "r", Persistence: "p", Identity: "f", Partition: true, Owned: owned, Published: true, Unlisted: true, Attached: true}
	return []*table{{OID: 1, Schema: "public", Name: "root", Kind: "p", Readable: true, members: []pgquery.Member{root, part}, published: true}}
}

func TestText(t *testing.T) {
	t.Parallel()
	r := &Report{NotChecked: []string{"tables"}}
	r.group("one").ok("good", "it\nis")
	r.group("one").fail("failing", "it is not", "Mend it.")
	r.group("two").warn("so_so", "perhaps", "See.")
	const text = "one\n  ok    good     it is\n  fail  failing  it is not\n                 → Mend it.\ntwo\n  warn  so_so    perhaps\n                 → See.\n\nnot looked at: tables\n\n1 failed, 1 warned, 1 ok\n"
	if got := printed(t, r); got != text {
		t.Errorf("got\n%swant\n%s", got, text)
	}
}
