package doctor

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/spillway-sync/spillway/internal/engine"
	"github.com/spillway-sync/spillway/internal/pgtest"
)

// seeded notes the codes that a test has provoked, for everyCode.
var seeded sync.Map

func TestMain(m *testing.M) { pgtest.Main(m) }

// options are those of a configuration without faults.
func options(t testing.TB, url string) Options {
	c := engine.DefaultConfig()
	c.DatabaseURL, c.Insecure = url, true
	c.ListenAddr, c.Port, c.AdminAddr = "127.0.0.1", 0, "127.0.0.1:0"
	c.DataDir = t.TempDir()
	c.JournalBudget = 1 << 20
	c.PoolSize = 2
	c.StreamID = "doctor"
	return Options{Config: c}
}

// expect examines and wants one finding.
func expect(t testing.TB, o Options, code string, v Verdict, text string) *Report {
	t.Helper()
	seeded.Store(code, true)
	r := Examine(context.Background(), o)
	want(t, r, code, v, text)
	return r
}

func want(t testing.TB, r *Report, code string, v Verdict, text string) {
	t.Helper()
	if v != OK {
		seeded.Store(code, true)
	}
	for _, f := range r.Findings {
		if f.Code != code || f.Verdict != v {
			continue
		}
		if !strings.Contains(f.Found, text) {
			t.Errorf("%s says %q, want %q in it", code, f.Found, text)
		}
		if (f.Remedy == "") != (v == OK) || strings.Contains(f.Found+f.Remedy, "\n") {
			t.Errorf("%s (%s): found %q, remedy %q", code, v, f.Found, f.Remedy)
		}
		return
	}
	t.Errorf("no %s of %s in:\n%s", v, code, printed(t, r))
}

func printed(t testing.TB, r *Report) string {
	var b strings.Builder
	if err := WriteText(&b, r, false); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// as is a database's URL for another role.
func as(t testing.TB, db *pgtest.DB, role string) string {
	t.Helper()
	u, err := url.Parse(db.URL)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(role, "geheim")
	return u.String()
}

// newRole makes a role that goes with the test.
func newRole(t testing.TB, db *pgtest.DB, options string) string {
	t.Helper()
	name := "role_" + db.Name
	db.Exec("CREATE ROLE " + name + " LOGIN PASSWORD 'geheim' " + options)
	t.Cleanup(func() { db.Exec("DROP OWNED BY " + name + " CASCADE; DROP ROLE " + name) })
	return name
}

// pooler lets through what a pooler in transaction mode does: all but connections
// for replication (PgBouncer up to 1.22; its text).
func pooler(t testing.TB, server string) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { relay(client, server) })
		}
	})
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		all.Wait()
	})
	return l.Addr().String()
}

func relay(client net.Conn, server string) {
	defer client.Close()
	var head [4]byte
	if _, err := io.ReadFull(client, head[:]); err != nil {
		return
	}
	rest := make([]byte, binary.BigEndian.Uint32(head[:])-4)
	if _, err := io.ReadFull(client, rest); err != nil {
		return
	}
	if strings.Contains(string(rest), "\x00replication\x00") {
		msg := "SFATAL\x00VFATAL\x00C08P01\x00Munsupported startup parameter: replication\x00\x00"
		out := binary.BigEndian.AppendUint32([]byte{'E'}, uint32(len(msg)+4))
		_, _ = client.Write(append(out, msg...)) // the client looks at it or does not
		return
	}
	conn, err := net.Dial("tcp", server)
	if err != nil {
		return
	}
	defer conn.Close()
	if _, err := conn.Write(append(head[:], rest...)); err != nil {
		return
	}
	var back sync.WaitGroup
	back.Go(func() {
		_, _ = io.Copy(client, conn) // either side may end it
		_ = client.Close()
	})
	_, _ = io.Copy(conn, client)
	_ = conn.Close()
	back.Wait()
}
