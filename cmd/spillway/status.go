package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/spillway-sync/spillway/internal/admin"
	"github.com/spillway-sync/spillway/internal/engine"
)

const (
	// statusTime is how long a service may take to say how it is.
	statusTime = 5 * time.Second
	// statusBytes is what a status may have, in bytes.
	statusBytes = 64 << 20
)

type statusCmd struct {
	AdminAddr string `env:"SPILLWAY_ADMIN_ADDR" placeholder:"127.0.0.1:3001" help:"host:port where the service answers operators."`
	JSON      bool   `name:"json" help:"Print what the service says as it is."`
}

// Run asks a running service how it is and prints the answer. Anything but an
// active service is an error.
func (s *statusCmd) Run(ctx context.Context) error {
	addr := s.AdminAddr
	if addr == "" {
		addr = engine.DefaultConfig().AdminAddr
	}
	body, err := fetch(ctx, addr, "/status")
	if err != nil {
		return fmt.Errorf("no status from %s (SPILLWAY_ADMIN_ADDR): %w", addr, err)
	}
	var st engine.Status
	if err := json.Unmarshal(body, &st); err != nil || st.Health == "" {
		return fmt.Errorf("what answers on %s (SPILLWAY_ADMIN_ADDR) is not a Spillway", addr)
	}
	if s.JSON {
		_, err = os.Stdout.Write(body)
	} else {
		err = admin.WriteText(os.Stdout, st)
	}
	if err != nil {
		return fmt.Errorf("print the status: %w", err)
	}
	if st.Health != engine.HealthActive {
		return fmt.Errorf("the service is not active but %s", st.Health)
	}
	return nil
}

// fetch asks a service for one of its pages for operators.
func fetch(ctx context.Context, addr, path string) ([]byte, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("read the address: %w", err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost" // where a service listens on all interfaces
	}
	ctx, cancel := context.WithTimeout(ctx, statusTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+path, nil)
	if err != nil {
		return nil, fmt.Errorf("read the address: %w", err)
	}
	// Never by a proxy: operators' pages are of this machine or a private network.
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask the service: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, statusBytes))
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	var refusal struct{ Error string }
	switch {
	case resp.StatusCode == http.StatusOK:
		return body, nil
	case json.Unmarshal(body, &refusal) == nil && refusal.Error != "":
		return nil, errors.New(refusal.Error)
	}
	return nil, fmt.Errorf("it answers %s", resp.Status)
}
