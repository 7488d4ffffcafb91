package pgrepl

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"hash"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"testing"
	"time"
)

// pair is two ends of a TCP connection, ours being paced.
func pair(t *testing.T) (*paced, net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	accepted := make(chan net.Conn, 1)
	go func() {
		defer close(accepted)
		if c, err := l.Accept(); err == nil {
			accepted <- c
		}
	}()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	far, ok := <-accepted
	if !ok {
		t.Fatal("nobody came")
	}
	t.Cleanup(func() { far.Close() })
	return pace(conn).(*paced), far
}

// send writes in pieces like Postgres's messages, with pauses now and then.
func send(w io.WriteCloser, total int) hash.Hash {
	sum := sha256.New()
	rnd := rand.New(rand.NewPCG(5, 1))
	for sent := 0; sent < total; {
		b := make([]byte, min(total-sent, 40+rnd.IntN(200)))
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
		if rnd.IntN(2000) == 0 {
			<-time.After(5 * time.Millisecond)
		}
		if _, err := w.Write(b); err != nil {
			break // the reader tells by the sum
		}
		sum.Write(b)
		sent += len(b)
	}
	w.Close()
	return sum
}

func receive(t *testing.T, conn net.Conn, size int) hash.Hash {
	t.Helper()
	sum := sha256.New()
	buf := make([]byte, size)
	for {
		if err := conn.SetReadDeadline(time.Now().Add(limit)); err != nil {
			t.Fatal(err)
		}
		n, err := conn.Read(buf)
		sum.Write(buf[:n])
		if errors.Is(err, io.EOF) {
			return sum
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestPacedBytes(t *testing.T) {
	for _, size := range []int{100, 5000, smallReads, bufferBytes} {
		p, far := pair(t)
		want := make(chan hash.Hash, 1)
		go func() { want <- send(far, 3<<20) }()
		got := receive(t, p, size)
		if w := <-want; !bytes.Equal(got.Sum(nil), w.Sum(nil)) {
			t.Errorf("reads of %d: other bytes arrived", size)
		}
	}
}

func TestPacedUnderTLS(t *testing.T) {
	cert := certificate(t)
	p, far := pair(t)
	server := tls.Server(far, &tls.Config{Certificates: []tls.Certificate{cert}})
	want := make(chan hash.Hash, 1)
	go func() { want <- send(server, 2<<20) }()
	client := tls.Client(p, &tls.Config{InsecureSkipVerify: true})
	got := receive(t, client, bufferBytes)
	if w := <-want; !bytes.Equal(got.Sum(nil), w.Sum(nil)) {
		t.Error("other bytes arrived")
	}
}

// loaded makes p believe in load.
func loaded(t *testing.T, p *paced) {
	t.Helper()
	if err := p.setLoaded(true); err != nil {
		t.Fatal(err)
	}
}

// Under load, a lone message waits for patience and no longer, and a few of them,
// or a pause, end the load.
func TestPacedPatience(t *testing.T) {
	p, far := pair(t)
	buf := make([]byte, bufferBytes)
	lone := func() {
		t.Helper()
		began := time.Now()
		if _, err := far.Write([]byte("lone")); err != nil {
			t.Fatal(err)
		}
		n, err := p.Read(buf)
		if took := time.Since(began); err != nil || string(buf[:n]) != "lone" || took > 100*time.Millisecond {
			t.Errorf("got %q, %v after %s", buf[:n], err, took)
		}
	}
	loaded(t, p)
	for range lulls {
		lone()
	}
	if p.loaded {
		t.Error("lone messages are load")
	}
	lone()

	loaded(t, p)
	p.lull = 0
	wrote := make(chan error, 1)
	go func() {
		<-time.After(5 * longLull)
		_, err := far.Write([]byte("late"))
		wrote <- err
	}()
	if n, err := p.Read(buf); err != nil || string(buf[:n]) != "late" || p.loaded {
		t.Errorf("got %q, %v, loaded %v", buf[:n], err, p.loaded)
	}
	if err := <-wrote; err != nil {
		t.Error(err)
	}
}

func TestPacedDeadlines(t *testing.T) {
	p, far := pair(t)
	buf := make([]byte, bufferBytes)
	expire := func(what string, at time.Duration) {
		t.Helper()
		began := time.Now()
		if err := p.SetDeadline(began.Add(at)); err != nil {
			t.Fatal(err)
		}
		_, err := p.Read(buf)
		if took := time.Since(began); !errors.Is(err, os.ErrDeadlineExceeded) || took < at || took > at+5*time.Second {
			t.Errorf("%s: %v after %s", what, err, took)
		}
	}
	expire("at rest", 20*time.Millisecond)
	loaded(t, p)
	expire("under load", 20*time.Millisecond)
	loaded(t, p)
	expire("under load, sooner than patience", patience/3)
	loaded(t, p)
	expire("under load, passed already", -time.Second)

	// Another goroutine wakes the reader, whatever its state.
	for _, load := range []bool{false, true} {
		if load {
			loaded(t, p)
		}
		if err := p.SetReadDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() {
			_, err := p.Read(buf)
			done <- err
		}()
		if err := p.SetReadDeadline(time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-done:
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("woken with %v", err)
			}
		case <-time.After(limit):
			t.Fatal("the reader was not woken")
		}
	}

	// Nothing was lost by all this.
	if err := p.SetReadDeadline(time.Now().Add(limit)); err != nil {
		t.Fatal(err)
	}
	if _, err := far.Write([]byte("still there")); err != nil {
		t.Fatal(err)
	}
	if n, err := p.Read(buf); err != nil || string(buf[:n]) != "still there" {
		t.Errorf("got %q, %v", buf[:n], err)
	}
	far.Close()
	loaded(t, p)
	if _, err := p.Read(buf); !errors.Is(err, io.EOF) {
		t.Errorf("after the end: %v", err)
	}
}
