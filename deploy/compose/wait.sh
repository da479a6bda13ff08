#!/usr/bin/env bash
# Waits until every container of the stack is healthy, for 5 minutes, and says how long it took. Its arguments are the
# command of Compose.
set -euo pipefail
cd "$(dirname "$0")/../.."

began=$SECONDS
while :; do
  states=$(for id in $("$@" ps -q); do
    docker inspect --format '{{index .Config.Labels "com.docker.compose.service"}} {{if .State.Health}}{{.State.Health.Status}}{{else}}{{.State.Status}} {{.State.ExitCode}}{{end}}' "$id"
  done | sort)
  waiting=$(grep -v -e ' healthy$' -e '^migrate exited 0$' <<<"$states" || true)
  [ -n "$states" ] && [ -z "$waiting" ] && break
  if [ $((SECONDS - began)) -ge 300 ]; then
    printf 'Not healthy after 5 minutes:\n%s\n' "$waiting" >&2
    for service in $(cut -d' ' -f1 <<<"$waiting"); do
      docker inspect --format "{{if .State.Health}}$service: {{range .State.Health.Log}}{{.Output}}{{end}}{{end}}" $("$@" ps -q "$service") | tail -n 5 >&2
    done
    exit 1
  fi
  sleep 0.5
done
printf '%s\nEverything is healthy after %d s.\n' "$states" $((SECONDS - began))
