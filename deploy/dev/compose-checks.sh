#!/usr/bin/env bash
# Checks what operating the stack takes, after deploy/demo/compose.sh started it: monitoring, health checks that fail, kills, and
# make down and up. `make accept-compose` runs it, in the network namespace and the folder of the stack.
set -euo pipefail

fail() { echo "compose-checks: $*" >&2; exit 1; }
inspect() { docker inspect --format "$1" $(docker-compose ps -q); } # a template: of every container
name='{{index .Config.Labels "com.docker.compose.service"}}'
services() { docker-compose ps --services --filter status=running; }
state() { docker inspect --format '{{.State.Health.Status}}' "$(docker-compose ps -q "$1")"; }
reason() { docker inspect --format '{{range .State.Health.Log}}{{.Output}}{{end}}' "$(docker-compose ps -q "$1")" | grep 'not connected to the bus' | tail -n 1; }
within() { # seconds, and a command that is tried until it succeeds
  local end=$((SECONDS + $1))
  shift
  until "$@"; do [ "$SECONDS" -lt "$end" ] || return 1; sleep 0.5; done
}
all() { # command services...: for each
  local command=$1 service
  shift
  for service; do "$command" "$service" || return 1; done
}
unhealthy() { [ "$(state "$1")" = unhealthy ]; }
disconnected() { unhealthy "$1" && reason "$1" >/dev/null; }
healthy() { deploy/compose/wait.sh docker-compose | tail -n 1; }
rows() { docker-compose exec -T postgresql sh -c 'PGPASSWORD=$(cat /run/secrets/postgresql/ironpost_viewer) psql -At -U ironpost_viewer -d ironpost -c "SELECT count(*) FROM ironpost.alerts"'; }

# Monitoring: every query of the dashboards and of the alert rules returns a series.
docker-compose --profile monitoring up -d prometheus
query() { get 127.0.0.1 9090 "api/v1/query?query=$(printf %s "$1" | od -An -tx1 -v | tr -d '\n' | sed 's/ /%/g')"; } # get: of compose.sh
targets() { [ "$(query 'sum(up{job="ironpost"})' | grep -o '"[0-9]*"\]' || true)" = '"6"]' ]; }
within 120 targets || { query up >&2; fail "not all six programs are scraped"; }
sleep 35 # a rate needs two scrapes, 15 s apart
# An alert rule compares, and returns a series only while it fires: its metrics are what must exist.
{
  grep -h '"expr"' deploy/grafana/dashboards/*.json | sed 's/^ *"expr": "//; s/",\{0,1\}$//; s/\\"/"/g'
  # The stack has no edge.
  sed -n 's/^ *expr: //p' deploy/prometheus/alerts.yml | grep -o 'ironpost_[a-z_]*\|up{[^}]*}' | grep -v 'edge_connected\|_forwarder_'
} | sort -u >"$work/queries"
failed=0 count=0
while read -r expression; do
  count=$((count + 1))
  query "$expression" | grep -q '"result":\[{' || { echo "no series: $expression" >&2; failed=$((failed + 1)); }
done <"$work/queries"
echo "queries with a series: $((count - failed)) of $count (bar: all)"
[ "$failed" = 0 ] && [ "$count" -ge 30 ] || fail "queries"
prometheus=$(docker-compose --profile monitoring ps -q prometheus)
up() { [ "$(docker inspect --format '{{.State.Health.Status}}' "$prometheus")" = healthy ]; }
within 60 up || fail "prometheus is not healthy"
docker rm -f "$prometheus" >/dev/null

# The bus stops: whoever needs it says so.
modules='ebpf-engine log-pipeline sbom-scanner container-guard action-collector'
docker-compose stop hub 2>/dev/null
within 300 all disconnected $modules || fail "healthy without a bus: $(inspect "$name {{.State.Health.Status}}")"
for module in $modules; do echo "without a bus: unhealthy: $(reason "$module")"; done
docker-compose start hub 2>/dev/null
healthy

# Every program hangs: every check fails, also that of PostgreSQL and of the proxies.
running=$(services)
kill -STOP $(inspect '{{.State.Pid}}' | grep -v '^0$')
within 300 all unhealthy $running || fail "healthy although it hangs: $(inspect "$name {{.State.Health.Status}}")"
echo "hanging and unhealthy: $(wc -w <<<"$running") of $(wc -w <<<"$running") services"
kill -CONT $(inspect '{{.State.Pid}}' | grep -v '^0$')
healthy

# Every program is killed: each comes back.
again() { [ "$(docker inspect --format '{{.RestartCount}} {{.State.Status}}' "$(docker-compose ps -q "$1")")" = "1 running" ]; }
kill -KILL $(inspect '{{.State.Pid}}' | grep -v '^0$')
within 60 all again $running || fail "not restarted: $(inspect "$name {{.RestartCount}} {{.State.Status}}")"
echo "killed and restarted: $(wc -w <<<"$running") of $(wc -w <<<"$running") services"
healthy

# The data stays, unless it is to be removed.
before=$(rows)
make down >"$work/down.log" 2>&1 || { tail "$work/down.log"; exit 1; }
[ -z "$(docker ps -aq --filter label=com.docker.compose.project=ironpost)" ] || fail "make down leaves containers"
make -o images up >"$work/up.log" 2>&1 || { tail -n 20 "$work/up.log"; exit 1; }
[ "$(rows)" -ge "$before" ] && [ "$before" -gt 0 ] || fail "$before alerts before make down, $(rows) after make up"
echo "alerts after make down and make up: $(rows) of $before"
make REMOVE_DATA=yes down >"$work/down.log" 2>&1 || { tail "$work/down.log"; exit 1; }
left=$(docker volume ls -q --filter label=com.docker.compose.project=ironpost | wc -l)
echo "volumes after make down with REMOVE_DATA=yes: $left (bar: 0)"
[ "$left" = 0 ]
