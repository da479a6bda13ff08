#!/usr/bin/env bash
# One attack to watch, from the line in a container's log to the audit trail:
# `make demo`. It uses the Docker that is there (DOCKER_HOST or /var/run/docker.sock),
# or, as root, starts one of its own in a network namespace of its own. Everything it
# made is gone afterwards. DEMO_PAUSE=0 does not wait between the steps.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
bin=$root/bin
work=$(mktemp -d /tmp/ironpost-demo.XXXXXX)
name=ironpost-demo-shop-$$
attacker=203.0.113.66 # TEST-NET-3, RFC 5737: nobody's
pause=${DEMO_PAUSE:-2}
daemon='' engine=''

finish() {
  code=$?
  trap - EXIT INT TERM
  [ "$code" = 0 ] || [ ! -s "$work/daemon.log" ] || { echo; echo "The daemon's last words:"; tail -n 20 "$work/daemon.log"; }
  [ -z "$daemon" ] || { kill "$daemon" && wait "$daemon"; } 2>/dev/null || true
  docker rm -f "$name" >/dev/null 2>&1 || true
  [ -z "$engine" ] || { kill "$engine" && wait "$engine"; } 2>/dev/null || true
  rm -rf "$work"
  exit "$code"
}
trap finish EXIT INT TERM

step() { printf '\n\033[1m%s\033[0m\n' "$*"; sleep "$pause"; }
show() { printf '$ %s\n' "$*"; "$@"; }
until_true() { # a command, tried for 30 s
  for _ in $(seq 300); do "$@" >/dev/null 2>&1 && return; sleep 0.1; done
  echo "demo: gave up waiting for: $*" >&2
  return 1
}

command -v docker >/dev/null || { echo "demo: the command docker is missing: install docker.io, or Docker" >&2; exit 1; }
if ! docker info >/dev/null 2>&1; then
  [ "$(id -u)" = 0 ] && command -v dockerd >/dev/null || { echo "demo: no Docker answers. Start it, or run this as root where dockerd is installed" >&2; exit 1; }
  export DOCKER_HOST=unix://$work/docker.sock
  unshare --net sh -c "ip link set lo up; exec dockerd --host '$DOCKER_HOST' --data-root '$work/docker' --exec-root '$work/exec' \
    --pidfile '$work/docker.pid' --iptables=false" >"$work/dockerd.log" 2>&1 &
  engine=$!
  until_true docker info
fi
case ${DOCKER_HOST:=unix:///var/run/docker.sock} in
  unix://*) socket=${DOCKER_HOST#unix://} ;;
  tcp://*) socket=$DOCKER_HOST ;;
  *) echo "demo: DOCKER_HOST=$DOCKER_HOST is neither unix:// nor tcp://" >&2; exit 1 ;;
esac

# A container that serves nothing but writes the access log of a shop.
image=busybox
if ! docker image inspect "$image" >/dev/null 2>&1 && ! docker pull -q "$image" >/dev/null 2>&1; then
  shell=$(command -v busybox) || { echo "demo: no image busybox, and no busybox to make one from: install busybox-static" >&2; exit 1; }
  mkdir -p "$work/image/bin"
  cp "$shell" "$work/image/bin/busybox"
  for applet in sh sleep date cat mkfifo; do ln -s busybox "$work/image/bin/$applet"; done
  image=ironpost-demo
  tar -C "$work/image" -c . | docker import - "$image" >/dev/null
fi

export IRONPOST_CONFIG=$root/deploy/demo/ironpost.toml IRONPOST_GENERAL_DATA_DIR=$work/data IRONPOST_GENERAL_PID_FILE=$work/pid \
  IRONPOST_BUS_SOCKET=$work/bus.sock IRONPOST_CONTAINER_DOCKER_SOCKET=$socket IRONPOST_CONTAINER_POLICY_PATH=$root/deploy/policies
"$bin/ironpost-daemon" >"$work/daemon.log" 2>&1 &
daemon=$!
until_true "$bin/ironpost" status
PATH=$bin:$PATH

step "A web shop runs in a container, and writes its access log."
docker run -d --name "$name" --restart always "$image" sh -c '
  mkfifo /log; (while :; do echo "198.51.100.$(($$ % 200)) - - [$(date "+%d/%b/%Y:%H:%M:%S +0000")] \"GET /cart HTTP/1.1\" 200 512 \"-\" \"Mozilla/5.0\""; sleep 1; done) &
  while :; do cat /log; done' >/dev/null
known() { ironpost status --json | grep -q '"containers":[1-9]'; }
until_true known
sleep "$pause"
show docker logs --tail 2 "$name"

step "Somebody has left a web shell there, and uses it."
line="$attacker - - [$(date -u '+%d/%b/%Y:%H:%M:%S +0000')] \"GET /uploads/x.php?cmd=id HTTP/1.1\" 200 57 \"-\" \"curl/8\""
echo "$line"
docker exec "$name" sh -c "echo '$line' > /log"
held() { ironpost quarantine list | grep -q ' held '; }
until_true held

step "The line became an alert that names its container, by the engine's word and not by the text."
show ironpost alerts --severity high
step "The container is frozen and off its networks. The policy is deploy/policies/web-attack.toml."
show ironpost quarantine list
show docker inspect --format '{{.State.Status}}, networks: {{len .NetworkSettings.Networks}}, restart policy: {{.HostConfig.RestartPolicy.Name}}' "$name"
step "The attacker's address is on the list that the packet engine drops in the kernel."
show ironpost blocklist list
step "What the container was doing was kept before anything could change."
evidence() { ironpost evidence show "$name"; }
until_true evidence
show ironpost evidence show "$name"
step "Every step is on record, and the record can be checked."
show ironpost actions
verified() { ironpost audit verify; }
until_true verified
show ironpost audit verify
step "A person has looked at it, and gives everything back."
show ironpost release "$name" --reason "the shell is removed"
show docker inspect --format '{{.State.Status}}, networks: {{len .NetworkSettings.Networks}}, restart policy: {{.HostConfig.RestartPolicy.Name}}' "$name"
printf '\nThat was all of it; nothing is left behind.\n'
