# Spillway. `make` lists the targets.
SHELL := /bin/sh
.DEFAULT_GOAL := help

GO ?= go
BIN := bin/spillway
export CGO_ENABLED ?= 0

# Most tests of a real server wait for it: four of a package at a time keep two
# cores busy. The time is for one package.
TESTFLAGS ?= -parallel 4 -timeout 15m

.PHONY: help
help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build bin/spillway, one static binary
	$(GO) build -trimpath -ldflags "-s -w" -o $(BIN) ./cmd/spillway

.PHONY: run
run: build postgres ## Build, find or install Postgres, and serve demo data on :3000 (or DATABASE_URL's)
	./$(BIN) dev

.PHONY: postgres
postgres: ## Make sure that a Postgres server (14 or newer) is installed
	@sh scripts/postgres.sh

.PHONY: node
node: ## Make sure that Node.js, the clients of npm and curl are installed, for the client tests
	@sh scripts/node.sh

.PHONY: chromium
chromium: ## Make sure that Chromium is installed, for the tests of the console and of clients
	@sh scripts/chromium.sh

.PHONY: nginx
nginx: ## Make sure that nginx is installed, for the tests of caching
	@sh scripts/nginx.sh

.PHONY: test
test: postgres node chromium nginx ## Run every test; installs what they need
	$(GO) vet ./...
	$(GO) test $(TESTFLAGS) ./...

.PHONY: race
race: postgres ## Run the concurrent rooms under the race detector (needs a C compiler)
	CGO_ENABLED=1 $(GO) test -race -timeout 20m ./internal/ingest/... ./internal/journal/... ./internal/registry/... ./internal/shapelog/... ./internal/sim/... ./internal/api/...

.PHONY: sim
sim: ## Run the simulation with SEED=n (default: random ones for a minute)
	$(GO) test -count=1 -v -timeout 15m -run TestSimulation ./internal/sim -args -seed=$(or $(SEED),0)

.PHONY: property
property: postgres ## Run the property test for RUNS seeds (default 100), or with SEED=n
	$(GO) test -count=1 -parallel 4 -timeout 60m -run TestProperty ./test/e2e -args -property-runs=$(or $(RUNS),100) -property-seed=$(or $(SEED),0)

.PHONY: delays
delays: postgres ## Run the property test for RUNS seeds (default 100), slow in random places; AT=n,n: in these
	$(GO) run ./test/delays -runs $(or $(RUNS),100) -at "$(AT)"

.PHONY: fuzz
fuzz: postgres ## Fuzz each target, random seeds of the property test and of comparisons with Postgres, for FUZZTIME (30s) each
	@GO="$(GO)" sh scripts/fuzz.sh $(or $(FUZZTIME),30s)

.PHONY: test-long
test-long: postgres ## Run the tests that take minutes
	SPILLWAY_LONG=1 $(GO) test -count=1 -parallel 4 -timeout 20m -run 'Week|Soak' ./internal/sim
	SPILLWAY_LONG=1 $(GO) test -count=1 -parallel 2 -timeout 20m -run 'ManyShapes|AllConsumersStuck|HugeTransaction' ./test/e2e

.PHONY: versions
versions: node ## Run the core's tests against Postgres 14 to 18, or VERSIONS="14 18"
	@GO="$(GO)" sh scripts/versions.sh $(VERSIONS)

.PHONY: soak
soak: ## Simulate TXNS transactions (default: a million) with random faults, from SEED
	$(GO) test -count=1 -v -timeout 60m -run TestSoak ./internal/sim -args -txns=$(or $(TXNS),1000000) -seed=$(or $(SEED),1)

.PHONY: mutants
mutants: postgres ## Break each guard in turn, in a copy, and see that a test fails
	@GO="$(GO)" sh scripts/mutants.sh

.PHONY: bench
bench: build postgres ## Measure, each figure beside its yardstick of the same run
	$(GO) run ./bench

.PHONY: lint
lint: ## Run golangci-lint from the tools module
	$(GO) tool -modfile=tools/go.mod golangci-lint run ./...

.PHONY: fmt
fmt: ## Format the code
	gofmt -w bench client cmd internal test

.PHONY: clean
clean: ## Remove what was built and the demo's data
	rm -rf bin spillway-data
