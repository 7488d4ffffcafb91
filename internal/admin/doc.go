// Package admin is HTTP for operators: status, health, metrics and profiles, on
// a listener of its own that is meant for this machine or a private network.
//
// It owns the routes and the form of what they show. It never decides anything
// about the engine, and reads it only through a snapshot that is made without
// waiting for anybody: the page must answer when everything else is stuck.
//
// Files: admin.go routes · metrics.go Prometheus · chaos.go faults on
// purpose.
package admin
