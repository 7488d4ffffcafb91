package admin

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/spillway-sync/spillway/internal/engine"
	"github.com/spillway-sync/spillway/internal/wal"
)

// collector makes metrics of a status when it is asked: nothing is counted that
// nobody looks at, and an endpoint that is never scraped does not grow.
type collector struct {
	src     Source
	clients func() Clients
}

func newCollector(src Source, clients func() Clients) prometheus.Collector {
	return collector{src, clients}
}

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
	ladder = prometheus.NewDesc("spillway_ladder_total",
		"Steps of the ladder taken: suspect, restart, quarantine, rebuild, parking, alarm.", []string{"step"}, nil)
	alarm = prometheus.NewDesc("spillway_alarm",
		"1 while something hits everybody, so that nobody is given up.", nil, nil)
	finding = prometheus.NewDesc("spillway_audit_finding",
		"1 while the audit of the slot finds something wrong.", nil, nil)
	canarySeconds = prometheus.NewDesc("spillway_storage_canary_seconds",
		"How long a tiny write and fsync takes.", nil, nil)
	canaryMessage = prometheus.NewDesc("spillway_canary_message_seconds",
		"How long the last canary message took from Postgres to the spine.", nil, nil)
	walBudget = prometheus.NewDesc("spillway_wal_budget_bytes",
		"What Postgres may retain because of us; 0: not set.", nil, nil)
	lagBytes = prometheus.NewDesc("spillway_lag_bytes",
		"How far a position is behind what was received.", []string{"position"}, nil)
	lagSeconds = prometheus.NewDesc("spillway_lag_seconds",
		"How long ago the journal came to a position.", []string{"position"}, nil)
	connections = prometheus.NewDesc("spillway_connections",
		"Clients' connections: open, all of them; parked, those over HTTP/1.1 whose request waits.", []string{"state"}, nil)
	requests = prometheus.NewDesc("spillway_requests",
		"Requests for shapes at work, those that wait included, by the limit they count against.", []string{"class"}, nil)
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
	for state, n := range map[string]int{
		"live": st.Shapes.Live, "snapshotting": st.Shapes.Snapshotting, "suspect": st.Shapes.Suspect,
		"restarting": st.Shapes.Restarting, "quarantined": st.Shapes.Quarantined, "parked": st.Shapes.Parked,
	} {
		gauge(shapes, float64(n), state)
	}
	l := st.Ladder
	for step, n := range map[string]int64{
		"suspect": l.Suspects, "restart": l.Restarts, "quarantine": l.Quarantines, "rebuild": l.Rebuilds,
		"parking": l.Parkings, "alarm": l.Alarms,
	} {
		count(ladder, float64(n), step)
	}
	gauge(alarm, truth(st.Alarm != ""))
	gauge(finding, truth(st.Postgres.Audit != ""))
	gauge(canarySeconds, st.Storage.CanaryMS/1000)
	if s := st.Postgres.CanarySeconds; s != nil {
		gauge(canaryMessage, *s)
	}
	gauge(walBudget, float64(st.Postgres.WALBudgetBytes))
	for name, lag := range st.Lag {
		gauge(lagBytes, float64(lag.Bytes), name)
		gauge(lagSeconds, lag.Seconds, name)
	}
	for reason, n := range st.Removed {
		count(removals, float64(n), string(reason))
	}
	gauge(ghosts, float64(len(st.Ghosts)))
	count(stalls, float64(st.StallsTotal))
	count(sessions, float64(st.Sessions))
	held := c.clients()
	gauge(connections, float64(held.Open), "open")
	gauge(connections, float64(held.Parked), "parked")
	gauge(requests, float64(held.Initial), "initial")
	gauge(requests, float64(held.Existing), "existing")
	for _, h := range engine.Healths {
		v := 0.0
		if h == st.Health {
			v = 1
		}
		gauge(health, v, string(h))
	}
}

func truth(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
