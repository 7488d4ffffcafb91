// Package admin is HTTP for operators: the console, status, health, metrics and
// profiles, on a listener of its own that is meant for this machine or a private
// network.
//
// It owns the routes and the form of what they show. It never decides anything
// about the engine, and reads it only through a snapshot that is made without
// waiting for anybody: the page must answer when everything else is stuck.
//
// The console is made on the server and needs nothing from anywhere else; its
// script only fetches the same sections again. Everything on it that came from a
// client or a database is text to the templates.
//
// Files: admin.go routes · metrics.go Prometheus · shapes.go definitions, for
// programs · chaos.go faults on purpose ·
// console.go pages · console/ templates, style, script · steps.go positions and
// lags · plot.go figures over time · sampler.go what they are made of · human.go
// numbers for people · text.go the status as text.
package admin
