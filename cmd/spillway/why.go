package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"

	"github.com/spillway-sync/spillway/internal/admin"
	"github.com/spillway-sync/spillway/internal/engine"
)

type whyCmd struct {
	Handle    string `arg:"" help:"The shape's handle: the header electric-handle of its answers."`
	AdminAddr string `env:"SPILLWAY_ADMIN_ADDR" placeholder:"127.0.0.1:3001" help:"host:port where the service answers operators."`
	Evidence  bool   `help:"Print the stacks that were taken as well."`
	JSON      bool   `name:"json" help:"Print what the service says as it is."`
}

// Run prints the life of a shape, one line an event.
func (c *whyCmd) Run(ctx context.Context) error {
	addr := c.AdminAddr
	if addr == "" {
		addr = engine.DefaultConfig().AdminAddr
	}
	body, err := fetch(ctx, addr, "/why/"+url.PathEscape(c.Handle))
	if err != nil {
		return fmt.Errorf("nothing about shape %s from %s (SPILLWAY_ADMIN_ADDR): %w", c.Handle, addr, err)
	}
	var life engine.Life
	if err := json.Unmarshal(body, &life); err != nil || life.Handle == "" {
		return fmt.Errorf("what answers on %s (SPILLWAY_ADMIN_ADDR) is not a Spillway", addr)
	}
	if c.JSON {
		_, err = os.Stdout.Write(body)
	} else {
		err = admin.WriteLife(os.Stdout, life, c.Evidence)
	}
	if err != nil {
		return fmt.Errorf("print a shape's life: %w", err)
	}
	return nil
}
