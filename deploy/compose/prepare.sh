#!/usr/bin/env bash
# Makes what docker-compose.yml needs, once: keys, certificates and passwords in the folder secrets, and .env.
# What is there is kept and what is missing is made, so it may be run again, also after an interruption. `make up` runs it.
set -euo pipefail
cd "$(dirname "$0")/../.."
umask 077

[ "$(id -u)" = 0 ] || { echo "prepare: run this as root: the files belong to the users of the containers" >&2; exit 1; }
secrets=$PWD/secrets
user=64646 # of deploy/Dockerfile
socket=${DOCKER_SOCKET:-/var/run/docker.sock}
test -S "$socket" || { echo "prepare: there is no socket $socket: start Docker, or name its socket with DOCKER_SOCKET" >&2; exit 1; }
mkdir -p "$secrets"

setting() { # name value: of .env, unless it is there
  grep -qs "^$1=" .env || echo "$1=$2" >>.env
}
setting IRONPOST_HOST "$(hostname | tr 'A-Z' 'a-z' | tr -c 'a-z0-9\n' '-' | cut -c1-63)"
setting DOCKER_SOCKET "$socket"
setting DOCKER_GID "$(stat -c %g "$socket")"
# The group that may read the logs in /var/log: adm on Debian.
setting LOG_GID "$(stat -c %g /var/log/auth.log /var/log/syslog 2>/dev/null | head -n1 || true)"
sed -i 's/^LOG_GID=$/LOG_GID=4/' .env
# Docker before 23.0 does not know CAP_BPF and CAP_PERFMON: then CAP_SYS_ADMIN, which includes them.
major=$(DOCKER_HOST=unix://$socket docker version --format '{{.Server.Version}}' | cut -d. -f1)
if [ "$major" -ge 23 ]; then
  setting ENGINE_CAP_BPF BPF
  setting ENGINE_CAP_PERFMON PERFMON
else
  setting ENGINE_CAP_BPF SYS_ADMIN
  setting ENGINE_CAP_PERFMON CAP_SYS_ADMIN # the same, as a list of Compose holds nothing twice
fi
host=$(sed -n 's/^IRONPOST_HOST=//p' .env)

# Each folder is made beside its place and moved there when it is complete. What an interruption left is made again, with
# new keys (--replace): those before were in no complete folder.
export IRONPOST_CONFIG=$PWD/deploy/compose/ironpost.toml IRONPOST_GENERAL_DATA_DIR=$secrets/authority
rm -rf "$secrets"/*.unfinished
[ -d "$secrets/authority" ] || {
  IRONPOST_GENERAL_DATA_DIR=$secrets/authority.unfinished bin/ironpost bus init --name bus >/dev/null
  mv "$secrets/authority.unfinished" "$secrets/authority"
}
for module in ebpf-engine log-pipeline sbom-scanner container-guard action-collector; do
  [ -d "$secrets/$module" ] || {
    bin/ironpost bus add-host "$host" --module "$module" --replace --out "$secrets/$module.unfinished" --bus-url tls://bus:4443 >/dev/null
    mv "$secrets/$module.unfinished" "$secrets/$module"
  }
  rm -f "$secrets/$module/ironpost.toml" # that of the stack serves all
  [ "$module" = ebpf-engine ] || chown -R "$user:$user" "$secrets/$module"
done
# The hub reads its certificate and the public keys; not ca.key, which stays root's.
chown "$user:$user" "$secrets/authority/pki" "$secrets/authority/keys" "$secrets"/authority/keys/* \
  "$secrets/authority/pki/ca.pem" "$secrets/authority/pki/server.pem" "$secrets/authority/pki/server.key"

password() { # file bytes: unless it is there
  [ -s "$1" ] || { head -c "$2" /dev/urandom | od -An -tx1 | tr -d ' \n' >"$1.unfinished" && mv "$1.unfinished" "$1"; }
}
url() { # role folder
  echo "postgres:///ironpost?host=/var/run/postgresql&user=$1&password=$(cat "$secrets/postgresql/$1")" >"$secrets/$2/postgres.url"
}
mkdir -p "$secrets/postgresql" "$secrets/hub" "$secrets/migrate" "$secrets/grafana"
for role in postgres ironpost_migrate ironpost_daemon ironpost_viewer; do
  password "$secrets/postgresql/$role" 24
done
url ironpost_migrate migrate
url ironpost_viewer hub
url ironpost_daemon log-pipeline
url ironpost_daemon action-collector
password "$secrets/grafana/admin" 12
for folder in postgresql hub migrate grafana log-pipeline action-collector; do
  chown -R "$user:$user" "$secrets/$folder"
done
