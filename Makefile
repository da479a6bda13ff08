# `make` lists the targets; CI runs the same ones (.ci/run).
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

BIN     := $(CURDIR)/bin
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
REVISION := $(shell git rev-parse HEAD 2>/dev/null)
LDFLAGS := -s -w -X github.com/ironpost/ironpost/cmd/internal/suite.version=$(VERSION) -X github.com/ironpost/ironpost/cmd/internal/suite.revision=$(REVISION)
GOFLAGS := -trimpath
GO_BUILD = CGO_ENABLED=0 go build $(GOFLAGS) -ldflags '$(LDFLAGS)'
GOLANGCI_VERSION := v2.15.0
FUZZTIME ?= 60s
# PARTS of an accept target; empty means all that have not passed on this commit (deploy/dev/accept.sh lists them).
PARTS ?=

.PHONY: help
help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  \033[1m%-22s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: ## build the daemon and the command line tool, and start the daemon with its defaults
	$(GO_BUILD) -o $(BIN)/ ./cmd/ironpost-daemon ./cmd/ironpost
	exec $(BIN)/ironpost-daemon --log-format pretty

.PHONY: build
build: ## build all commands into bin/; the second engine of the scanner, ironpost-sbom-scanner, takes most of the time
	$(GO_BUILD) -o $(BIN)/ ./cmd/...

.PHONY: test
test: deps ## install what the tests need, then run all tests with the race detector
	GORACE=atexit_sleep_ms=0 go test -race -timeout 15m ./...

.PHONY: deps
deps: ## install what the tests need (Debian packages, as root)
	deploy/dev/install-deps.sh

.PHONY: lint
lint: $(BIN)/golangci-lint-$(GOLANGCI_VERSION) ## run the linters
	$(BIN)/golangci-lint-$(GOLANGCI_VERSION) run ./...

.PHONY: fmt
fmt: $(BIN)/golangci-lint-$(GOLANGCI_VERSION) ## format the code
	$(BIN)/golangci-lint-$(GOLANGCI_VERSION) fmt ./...

.PHONY: generate
generate: ## rewrite golden files, generated documentation and, with clang, the packet program
	go test -count 1 ./event -run Golden -update
	go test -count 1 ./event -run Documentation -update
	go test -count 1 ./internal/docker -run Generated -update
	go test -count 1 ./cmd/internal/suite -run 'Golden|Reference' -update
	go generate ./bpf

.PHONY: bench
bench: ## run the benchmarks; ratios are measured within one run
	go test -run '^$$' -bench . -benchmem ./...

.PHONY: fuzz
fuzz: ## fuzz every target for FUZZTIME (60s) each
	deploy/dev/fuzz.sh $(FUZZTIME)

.PHONY: check
check: ## format, lint, test, and compile for the other platforms
	test -z "$$(gofmt -l . | tee /dev/stderr)"
	$(MAKE) cross lint test

.PHONY: cross
cross: ## compile for darwin, windows and linux/arm64, without the second engine of the scanner
	packages=$$(go list ./... | grep -v /cmd/ironpost-sbom-scanner$$); \
	GOOS=darwin GOARCH=arm64 go vet $$packages; \
	GOOS=windows GOARCH=amd64 go vet $$packages; \
	GOOS=linux GOARCH=arm64 go vet $$packages

.PHONY: accept-foundation
accept-foundation: build ## the bus and log pipeline over kills, downtimes and full disks; prints number and bar
	deploy/dev/accept.sh foundation $(PARTS)

.PHONY: accept-log-pipeline
accept-log-pipeline: build ## journal, rotations over kills, ten thousand files, as root; prints number and bar
	deploy/dev/accept.sh log-pipeline $(PARTS)

.PHONY: accept-ebpf-engine
accept-ebpf-engine: build ## scans, floods and blocks on interfaces of its own, as root; prints number and bar
	deploy/dev/accept.sh ebpf-engine $(PARTS)

.PHONY: accept-container-guard
accept-container-guard: build ## alerts, attacks and restarts against a dockerd of its own, as root; prints number and bar
	deploy/dev/accept.sh container-guard $(PARTS)

.PHONY: accept-hostile
accept-hostile: build ## attackers who steer the defence: forged lines, single requests, floods, held places, as root; prints number and bar
	deploy/dev/accept.sh hostile $(PARTS)

.PHONY: accept-hostile-host
accept-hostile-host: build ## local users, damaged disks and stuck readers against the daemon, as root; prints number and bar
	deploy/dev/accept.sh hostile-host $(PARTS)

.PHONY: accept-storage
accept-storage: ## PostgreSQL: rates, filters over ten million rows, kills and a downtime; prints number and bar
	deploy/dev/accept.sh storage $(PARTS)

.PHONY: accept-spread
accept-spread: ## a hub, modules on another host, PostgreSQL and a cluster over kills, cuts and full disks; prints number and bar
	deploy/dev/accept.sh spread $(PARTS)

.PHONY: accept-sbom-scanner
accept-sbom-scanner: build ## rescans, kills and outages of the bus: no alert twice, none missing; prints number and bar
	deploy/dev/accept.sh sbom-scanner $(PARTS)

.PHONY: packages
packages: ## build deb and rpm packages for this architecture into bin/packages, of VERSION if given
	deploy/packages/build.sh $(if $(filter command line environment,$(origin VERSION)),$(VERSION))

.PHONY: accept-packages
accept-packages: packages ## install, upgrade, boot and purge the packages in Debian roots, as root; prints number and bar
	deploy/dev/accept.sh packages $(PARTS)

.PHONY: demo
demo: build ## show one attack over a network, as root: upload, web shell, its connection, isolation, dropped packets, audit trail
	deploy/demo/demo.sh

.PHONY: demo-compose
demo-compose: build ## start the stack of docker-compose.yml in a dockerd of its own, attack a container, check the answer (root)
	deploy/demo/compose.sh

.PHONY: accept-compose
accept-compose: build ## the same, with every query of the dashboards, hanging and killed programs, make down and up; prints number and bar (root)
	deploy/demo/compose.sh deploy/dev/compose-checks.sh

# The stack of docker-compose.yml: docs/compose.md.
COMPOSE ?= $(shell command -v docker-compose || echo docker compose)

.PHONY: images
images: $(if $(FROM_SOURCE),,build) ## build the images of the stack from bin/; FROM_SOURCE=1: in a Go image
	deploy/compose/images.sh $(if $(FROM_SOURCE),--from-source)

.PHONY: up
up: images ## start the stack: makes keys and passwords once, builds the images, waits until all is healthy (root)
	deploy/compose/prepare.sh
	$(COMPOSE) up -d
	deploy/compose/wait.sh $(COMPOSE)

.PHONY: down
down: ## stop the stack; its data stays, unless REMOVE_DATA=yes
	$(COMPOSE) --profile monitoring down $(if $(filter yes,$(REMOVE_DATA)),--volumes)

.PHONY: clean
clean: ## remove what was built
	rm -rf $(BIN)

$(BIN)/golangci-lint-$(GOLANGCI_VERSION):
	GOBIN=$(BIN) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
	mv $(BIN)/golangci-lint $@
