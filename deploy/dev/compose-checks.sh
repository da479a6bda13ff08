#!/usr/bin/env bash
# Checks the monitoring of the stack that deploy/demo/compose.sh started: every query of the dashboards and of the alert rules
# returns a series on Prometheus. `make accept-compose` runs it, in the network namespace of the stack.
set -euo pipefail

docker-compose -p ironpost --project-directory "$work/clone" -f "$work/clone/docker-compose.yml" --profile monitoring up -d prometheus
query() { get 127.0.0.1 9090 "api/v1/query?query=$(printf %s "$1" | od -An -tx1 -v | tr -d '\n' | sed 's/ /%/g')"; } # get: of compose.sh
targets() { [ "$(query 'sum(up{job="ironpost"})' | grep -o '"[0-9]*"\]' || true)" = '"6"]' ]; }
for _ in $(seq 120); do targets && break || sleep 1; done
targets || { echo "compose-checks: not all six programs are scraped:" >&2; query 'up' >&2; exit 1; }
sleep 35 # a rate needs two scrapes, 15 s apart

# An alert rule compares, and returns a series only while it fires: its metrics are what must exist.
{
  grep -h '"expr"' deploy/grafana/dashboards/*.json | sed 's/^ *"expr": "//; s/",\{0,1\}$//; s/\\"/"/g'
  sed -n 's/^ *expr: //p' deploy/prometheus/alerts.yml | grep -o 'ironpost_[a-z_]*\|up{[^}]*}'
} | sort -u >"$work/queries"
failed=0 count=0
while read -r expression; do
  count=$((count + 1))
  query "$expression" | grep -q '"result":\[{' || { echo "no series: $expression" >&2; failed=$((failed + 1)); }
done <"$work/queries"
echo "queries with a series: $((count - failed)) of $count (bar: all)"
[ "$failed" = 0 ] && [ "$count" -ge 30 ]
