package pgrepl

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/spillway-sync/spillway/internal/pgtest"
)

// certificate makes one that nobody vouches for.
func certificate(t testing.TB) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// encrypt switches TLS on at a test's own server.
func encrypt(t testing.TB, db *pgtest.DB) {
	t.Helper()
	cert := certificate(t)
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := db.Value("show data_directory")
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	owner := info.Sys().(*syscall.Stat_t)
	for name, block := range map[string]*pem.Block{
		"server.crt": {Type: "CERTIFICATE", Bytes: cert.Certificate[0]},
		"server.key": {Type: "PRIVATE KEY", Bytes: key},
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(path, int(owner.Uid), int(owner.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	db.Exec("alter system set ssl = on")
	db.Exec("select pg_reload_conf()")
	until(t, "the server speaks TLS", func() bool { return db.Value("show ssl") == "on" })
}

// secured is a database's URL with TLS required and settings added.
func secured(t testing.TB, db *pgtest.DB) string {
	t.Helper()
	u, err := url.Parse(db.URL)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("sslmode", "require")
	if q.Has("host") {
		q.Set("host", "127.0.0.1")
	}
	u.RawQuery = q.Encode()
	return u.String()
}

func TestTLS(t *testing.T) {
	db := pgtest.NewServer(t)
	_, err := Connect(t.Context(), Config{ConnString: secured(t, db), Slot: testSlot})
	if Classify(err) != Fatal || Advice(err) != adviceTLS {
		t.Fatalf("without TLS: %v is %s", err, Classify(err))
	}
	encrypt(t, db)
	db.Exec(`create table t (id bigint primary key, name text)`)
	db.Exec(`alter table t replica identity full`)
	db.Exec(`create publication "pgrepl ""pub""" for table t`)
	s, from := open(t, secured(t, db))
	if got := db.Value(fmt.Sprintf("select ssl from pg_stat_ssl where pid = %d", s.Info().BackendPID)); got != "t" {
		t.Fatal("the connection is in plain text")
	}
	sink := newMemory(true)
	r := start(t, s, from, sink)
	const rows = 20000
	db.Exec(fmt.Sprintf(`insert into t select i, repeat('x', i %% 300) from generate_series(1, %d) i`, rows))
	db.Exec(`insert into t values (0, repeat('y', 3000000))`)
	until(t, "all rows", func() bool { got, _ := sink.decode(t); return len(got) == rows+1 })
	until(t, "Postgres knows", func() bool { return confirmed(t, db) >= sink.at() })
	r.stop(t)
}
