package main

import (
	"net"
	"testing"
)

func TestReachable(t *testing.T) {
	for addr, want := range map[string]struct {
		text     string
		loopback bool
	}{
		"127.0.0.1:3000":   {"127.0.0.1:3000", true},
		"0.0.0.0:3000":     {"localhost:3000", false},
		"[::]:3000":        {"localhost:3000", false},
		"[::1]:3000":       {"[::1]:3000", true},
		"192.168.1.2:3000": {"192.168.1.2:3000", false},
	} {
		a, err := net.ResolveTCPAddr("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		if got := reachable(a); got != want.text {
			t.Errorf("%s: %s, want %s", addr, got, want.text)
		}
		if got := loopback(a); got != want.loopback {
			t.Errorf("%s is for this machine only: %v", addr, got)
		}
	}
}
