#!/usr/bin/env bash
# Installs what `make test` needs beyond Go, from Debian's packages, and the
# stock `nats` command, as a Go module, into bin/. Does nothing where all is there.
set -euo pipefail
cd "$(dirname "$0")/../.."

natscli=v0.5.1

need=()
command -v setpriv >/dev/null || need+=(util-linux)
command -v unshare >/dev/null || need+=(util-linux)
command -v mount >/dev/null || need+=(mount)
command -v gcc >/dev/null || need+=(gcc libc6-dev) # the race detector is cgo

if [ ${#need[@]} -gt 0 ]; then
	if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
		echo "install-deps: please install: ${need[*]} (tests that need them skip, and say so)" >&2
	else
		apt-get update -qq
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${need[@]}" >/dev/null
	fi
fi

if [ ! -x bin/nats ]; then
	GOBIN="$PWD/bin" go install "github.com/nats-io/natscli/nats@$natscli"
fi
