package engine

import (
	"strings"
	"testing"
	"time"
)

func TestValidate(t *testing.T) {
	good := DefaultConfig()
	good.DatabaseURL, good.Secret = "postgresql://u:geheim@h/d", "geheim"
	tests := []struct {
		what   string
		change func(*Config)
		want   string // "": no fault
	}{
		{"as it is", func(*Config) {}, ""},
		{"insecure", func(c *Config) { c.Secret, c.Insecure = "", true }, ""},
		{"neither", func(c *Config) { c.Secret = "" }, "set SPILLWAY_SECRET"},
		{"both", func(c *Config) { c.Insecure = true }, "exclude each other"},
		{"any port", func(c *Config) { c.Port = 0 }, ""},
		{"no operators", func(c *Config) { c.AdminAddr = "" }, ""},
		{"operators anywhere", func(c *Config) { c.AdminAddr = "[::]:0" }, ""},
		{"operators' port", func(c *Config) { c.AdminAddr = "localhost:http" }, "SPILLWAY_ADMIN_ADDR"},
		{"Unix socket", func(c *Config) { c.DatabaseURL = "postgresql://u@/d?host=/run/postgresql" }, ""},
		{"several hosts", func(c *Config) { c.DatabaseURL = "postgresql://u@a:1,b:2/d" }, ""},
		{"long name", func(c *Config) { c.StreamID = strings.Repeat("x", 40) }, ""},
		{"too long a name", func(c *Config) { c.StreamID = strings.Repeat("x", 41) }, "SPILLWAY_STREAM_ID"},
		{"capitals", func(c *Config) { c.StreamID = "Blue" }, "SPILLWAY_STREAM_ID"},
		{"no grace", func(c *Config) { c.StallGrace = 0 }, "SPILLWAY_STALL_GRACE"},
		{"negative budget", func(c *Config) { c.WALBudget = -1 }, "SPILLWAY_WAL_BUDGET"},
		{"drop the slot", func(c *Config) { c.WALBudget, c.OnWALBudget = 1<<30, DropSlot }, ""},
		{"drop the slot at no budget", func(c *Config) { c.OnWALBudget = DropSlot }, "SPILLWAY_ON_WAL_BUDGET"},
		{"do what?", func(c *Config) { c.OnWALBudget = "panic" }, "SPILLWAY_ON_WAL_BUDGET"},
		{"no ghosts", func(c *Config) { c.MaxGhosts = 0 }, "SPILLWAY_MAX_GHOSTS"},
		{"no parking", func(c *Config) { c.ParkTime = 0 }, "SPILLWAY_PARK_TIME"},
		{"long poll as long as allowed", func(c *Config) { c.LongPollTimeout = 40 * time.Second }, ""},
		{"longer", func(c *Config) { c.LongPollTimeout = 41 * time.Second }, "SPILLWAY_LONG_POLL_TIMEOUT"},
		{"no directory", func(c *Config) { c.DataDir = "" }, "SPILLWAY_DATA_DIR"},
	}
	for _, tt := range tests {
		c := good
		tt.change(&c)
		err := c.Validate()
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%s: %v", tt.what, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: %v, want something with %q", tt.what, err, tt.want)
		case err != nil && strings.Contains(err.Error(), "geheim"):
			t.Errorf("%s: tells a secret: %v", tt.what, err)
		}
	}
}

// Postgres cuts names at 63 bytes, silently.
func TestNamesFit(t *testing.T) {
	c := Config{StreamID: strings.Repeat("x", 40)}
	for _, name := range []string{c.Slot(), c.Publication()} {
		if len(name) > 63 {
			t.Errorf("%s has %d bytes", name, len(name))
		}
	}
}
