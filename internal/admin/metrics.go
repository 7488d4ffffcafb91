package admin

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/spillway-sync/spillway/internal/engine"
	"github.com/spillway-sync/spillway/internal/wal"
)

// collector makes metrics of a status when it is asked: nothing is counted that
// nobody looks at, and an endpoint that is never scraped does not grow.
type collector struct{ src Source }

func newCollector(src Source) prometheus.Collector { return collector{src} }

var (
	position = prometheus.NewDesc("spillway_position_bytes",
		"A position in Postgres's write-ahead log, as a number of bytes.", []string{"position"}, nil)
	journalBytes = prometheus.NewDesc("spillway_journal_bytes",
		"What the journal holds on disk.", nil, nil)
	journalBudget = prometheus.NewDesc("spillway_journal_budget_bytes",
		"What the journal may hold because a consumer lags.", nil, nil)
	journalSync = prometheus.NewDesc("spillway_journal_sync_seconds",
		"How long the journal's last fsync took.", nil, nil)
	retained = prometheus.NewDesc("spillway_postgres_retained_bytes",
		"WAL that Postgres keeps because of our slot.", nil, nil)
	shapes = prometheus.NewDesc("spillway_shapes",
		"Shapes by state.", []string{"state"}, nil)
	removals = prometheus.NewDesc("spillway_shapes_removed_total",
		"Shapes whose log was given up, by reason.", []string{"reason"}, nil)
	ghosts = prometheus.NewDesc("spillway_ghosts",
		"Replaced workers that have not returned.", nil, nil)
	stalls = prometheus.NewDesc("spillway_stalls_total",
		"Workers that were replaced because they made no progress or failed.", nil, nil)
	sessions = prometheus.NewDesc("spillway_replication_sessions_total",
		"Replication sessions begun.", nil, nil)
	health = prometheus.NewDesc("spillway_health",
		"1 for the present health.", []string{"health"}, nil)
)

func (c collector) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, ch) }

func (c collector) Collect(ch chan<- prometheus.Metric) {
	st := c.src.Status()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	count := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
	}
	p := st.Positions
	for name, lsn := range map[string]wal.LSN{
		"received": p.Received.LSN, "journaled": p.Journaled.LSN, "acked": p.Acked.LSN, "routed": p.Routed.LSN,
		"applied": p.Applied.LSN, "durable": p.Durable.LSN, "trimmed": p.Trimmed.LSN,
	} {
		gauge(position, float64(lsn), name)
	}
	gauge(journalBytes, float64(st.Journal.Bytes))
	gauge(journalBudget, float64(st.Journal.BudgetBytes))
	gauge(journalSync, st.Journal.SyncMS/1000)
	if st.Postgres.RetainedBytes != nil {
		gauge(retained, float64(*st.Postgres.RetainedBytes))
	}
	gauge(shapes, float64(st.Shapes.Live), "live")
	gauge(shapes, float64(st.Shapes.Snapshotting), "snapshotting")
	for reason, n := range st.Removed {
		count(removals, float64(n), string(reason))
	}
	gauge(ghosts, float64(len(st.Ghosts)))
	count(stalls, float64(st.StallsTotal))
	count(sessions, float64(st.Sessions))
	for _, h := range engine.Healths {
		v := 0.0
		if h == st.Health {
			v = 1
		}
		gauge(health, v, string(h))
	}
}
