#!/usr/bin/env bash
# Installs what `make test` needs beyond Go, from Debian's packages, and the
# stock `nats` command, as a Go module, into bin/. Does nothing if everything is installed.
set -euo pipefail
PATH="$PATH:/usr/sbin:/sbin"
cd "$(dirname "$0")/../.."

natscli=v0.5.1

need=()
command -v setpriv >/dev/null || need+=(util-linux)
command -v unshare >/dev/null || need+=(util-linux)
command -v mount >/dev/null || need+=(mount)
command -v gcc >/dev/null || need+=(gcc libc6-dev) # the race detector is cgo
# The packet engine: the compiler of its program, and the programs that attack it and that it is compared with.
command -v clang >/dev/null || need+=(clang)
command -v llvm-strip >/dev/null || need+=(llvm)
test -e /usr/include/bpf/bpf_helpers.h || need+=(libbpf-dev)
command -v ip >/dev/null || need+=(iproute2)
command -v ping >/dev/null || need+=(iputils-ping)
command -v ethtool >/dev/null || need+=(ethtool)
command -v nmap >/dev/null || need+=(nmap)
command -v hping3 >/dev/null || need+=(hping3)
command -v masscan >/dev/null || need+=(masscan)
command -v zmap >/dev/null || need+=(zmap)
command -v tcpreplay >/dev/null || need+=(tcpreplay)
command -v xdp-filter >/dev/null || need+=(xdp-tools)
# The container guard: the dockerd that the tests start, and the program in their images.
command -v dockerd >/dev/null || need+=(docker.io)
test -x /bin/busybox || need+=(busybox-static)
command -v docker-compose >/dev/null || need+=(docker-compose) # recreates containers as users do
# The Compose stack: the image of Prometheus that the tests make, and what checks its rules.
command -v promtool >/dev/null || need+=(prometheus)
# Password guessing against a real sshd, whose lines a real syslog daemon writes.
command -v sshd >/dev/null || need+=(openssh-server)
command -v sshpass >/dev/null || need+=(openssh-client sshpass)
# Rotation of logs, and what compresses them.
command -v logrotate >/dev/null || need+=(logrotate)
command -v xz >/dev/null || need+=(xz-utils)
command -v zstd >/dev/null || need+=(zstd)
command -v bzip2 >/dev/null || need+=(bzip2)
command -v rsyslogd >/dev/null || need+=(rsyslog)
test -n "$(compgen -G "/usr/lib/*/rsyslog/lmnsd_gtls.so")" || need+=(rsyslog-gnutls) # syslog over TLS
test -n "$(compgen -G "/usr/lib/*/rsyslog/lmnsd_ossl.so")" || need+=(rsyslog-openssl)
# What ausearch says of audit records.
command -v ausearch >/dev/null || need+=(auditd)
# Journals: the real journald, and what makes one of any fields.
test -x /lib/systemd/systemd-journald || need+=(systemd)
test -x /lib/systemd/systemd-journal-remote || need+=(systemd-journal-remote)
# Storage: the server that tests start, and psql.
test -n "$(compgen -G "/usr/lib/postgresql/*/bin/initdb")" || need+=(postgresql)
command -v psql >/dev/null || need+=(postgresql-client)
# Units and manual pages, and for make accept-packages the Debian roots and the packages in them.
command -v systemd-analyze >/dev/null || need+=(systemd)
command -v mandoc >/dev/null || need+=(mandoc)
command -v debootstrap >/dev/null || need+=(debootstrap)
command -v systemd-nspawn >/dev/null || need+=(systemd-container)
command -v rpm >/dev/null || need+=(rpm)

if [ ${#need[@]} -gt 0 ]; then
	if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
		echo "install-deps: please install: ${need[*]} (tests that need them skip, and say so)" >&2
	else
		apt-get update -qq
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${need[@]}" >/dev/null
	fi
fi

if [ ! -x bin/nats ] && ! GOBIN="$PWD/bin" go install "github.com/nats-io/natscli/nats@$natscli"; then
	echo "install-deps: no nats $natscli in bin/ (tests that need it skip, and say so)" >&2
	test -z "${CI:-}${IRONPOST_TEST_REQUIRE:-}" # fail if tests may not skip
fi
