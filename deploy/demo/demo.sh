#!/usr/bin/env bash
# Shows one attack from the line in a container's log to the audit trail: `make demo`.
# It uses the running Docker (DOCKER_HOST or /var/run/docker.sock) or, as root, starts
# a dockerd in a new network namespace. It removes everything it created.
# DEMO_PAUSE=0 does not wait between the steps.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
bin=$root/bin
work=$(mktemp -d /tmp/ironpost-demo.XXXXXX)
name=ironpost-demo-shop-$$
attacker=203.0.113.66 # TEST-NET-3, RFC 5737: reserved for documentation
pause=${DEMO_PAUSE:-2}
daemon='' engine=''

finish() {
  code=$?
  trap - EXIT INT TERM
  [ "$code" = 0 ] || [ ! -s "$work/daemon.log" ] || { echo; echo "The end of the daemon's log:"; tail -n 20 "$work/daemon.log"; }
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
  echo "demo: timed out waiting for: $*" >&2
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

# A container that serves nothing and writes the access log of a web shop.
image=busybox
if ! docker image inspect "$image" >/dev/null 2>&1 && ! docker pull -q "$image" >/dev/null 2>&1; then
  shell=$(command -v busybox) || { echo "demo: no image busybox, and no busybox to make one from: install busybox-static" >&2; exit 1; }
  mkdir -p "$work/image/bin"
  cp "$shell" "$work/image/bin/busybox"
  for applet in sh sleep date cat mkfifo; do ln -s busybox "$work/image/bin/$applet"; done
  image=ironpost-demo
  tar -C "$work/image" -c . | docker import - "$image" >/dev/null
fi

# The attacker does not connect, as the container serves nothing: with the policies of deploy/policies alone the block would be proposed.
cp -r "$root/deploy/policies" "$work/policies"
cp "$root/deploy/compose/web-attack.toml" "$work/policies/"
export IRONPOST_CONFIG=$root/deploy/demo/ironpost.toml IRONPOST_GENERAL_DATA_DIR=$work/data IRONPOST_GENERAL_PID_FILE=$work/pid \
  IRONPOST_BUS_SOCKET=$work/bus.sock IRONPOST_CONTAINER_DOCKER_SOCKET=$socket IRONPOST_CONTAINER_POLICY_PATH=$work/policies
"$bin/ironpost-daemon" >"$work/daemon.log" 2>&1 &
daemon=$!
until_true "$bin/ironpost" status
PATH=$bin:$PATH

step "A web shop runs in a container and writes its access log."
docker run -d --name "$name" --restart always "$image" sh -c '
  mkfifo /log; (while :; do echo "198.51.100.$(($$ % 200)) - - [$(date "+%d/%b/%Y:%H:%M:%S +0000")] \"GET /cart HTTP/1.1\" 200 512 \"-\" \"Mozilla/5.0\""; sleep 1; done) &
  while :; do cat /log; done' >/dev/null
known() { ironpost status --json | grep -q '"containers":[1-9]'; }
until_true known
sleep "$pause"
show docker logs --tail 2 "$name"

step "An attacker uses a web shell that was uploaded there."
line="$attacker - - [$(date -u '+%d/%b/%Y:%H:%M:%S +0000')] \"GET /uploads/x.php?cmd=id HTTP/1.1\" 200 57 \"-\" \"curl/8\""
echo "$line"
docker exec "$name" sh -c "echo '$line' > /log"
held() { ironpost quarantine list | grep -q ' held '; }
until_true held

step "The line became an alert. It names the container because Docker says whose log it is, not because of the text."
show ironpost alerts --severity high
step "The container is frozen and disconnected from its networks, by deploy/compose/web-attack.toml."
show ironpost quarantine list
show docker inspect --format '{{.State.Status}}, networks: {{len .NetworkSettings.Networks}}, restart policy: {{.HostConfig.RestartPolicy.Name}}' "$name"
step "The attacker's address is on the blocklist, which the packet engine enforces in the kernel."
show ironpost blocklist list
step "Evidence of what the container was doing was saved."
evidence() { ironpost evidence show "$name"; }
until_true evidence
show ironpost evidence show "$name"
step "Every step is in the audit trail, and the trail can be verified."
show ironpost actions
verified() { ironpost audit verify; }
until_true verified
show ironpost audit verify
step "An operator has examined the container and releases it."
show ironpost release "$name" --reason "the shell is removed"
show docker inspect --format '{{.State.Status}}, networks: {{len .NetworkSettings.Networks}}, restart policy: {{.HostConfig.RestartPolicy.Name}}' "$name"
printf '\nEnd of the demo; everything it created is removed.\n'
