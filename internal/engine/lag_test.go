package engine

import (
	"testing"
	"time"

	"github.com/spillway-sync/spillway/internal/wal"
)

func TestLag(t *testing.T) {
	var c lagClock
	if s := c.seconds(time.Hour, 5); s != 0 {
		t.Errorf("without a look: %v", s)
	}
	for i := range 10 {
		c.look(time.Duration(i)*time.Second, wal.LSN(100+100*(i/2))) // moves every other look
	}
	for _, tt := range []struct {
		pos  wal.LSN
		want float64
	}{{50, 20}, {100, 18}, {150, 18}, {200, 16}, {400, 12}, {499, 12}, {500, 0}, {900, 0}} {
		if got := c.seconds(20*time.Second, tt.pos); got != tt.want {
			t.Errorf("at %d: %v s, want %v", tt.pos, got, tt.want)
		}
	}
	c.look(30*time.Second, 7) // began anew
	if s := c.seconds(40*time.Second, 3); s != 10 {
		t.Errorf("of the new journal: %v", s)
	}
	for i := range 2 * lagSamples {
		c.look(time.Duration(i)*time.Second, wal.LSN(1000+i))
	}
	if len(c.pos) != lagSamples || len(c.at) != lagSamples {
		t.Errorf("%d looks are kept", len(c.pos))
	}
}
