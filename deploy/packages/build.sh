#!/usr/bin/env bash
# Builds the packages ironpost and ironpost-modules as deb and rpm into bin/packages, with nfpm in bin/:
#
#   deploy/packages/build.sh [version]
#
# The version is the given one; else that of the tag of this commit; else 0.0.0 with the time and the hash of the commit,
# which dpkg and rpm order by time. The architecture is this machine's.
set -euo pipefail
cd "$(dirname "$0")/../.."

nfpm=v2.45.0 # newer ones need a newer Go
tag=$(git describe --tags --exact-match 2>/dev/null || true)
version=${1:-${tag:-0.0.0~$(TZ=UTC git log -1 --format=%cd --date=format-local:%Y%m%d%H%M%S).$(git rev-parse --short HEAD)}}
export PACKAGE_VERSION=${version#v} ARCH
ARCH=$(go env GOHOSTARCH)
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH # so that one commit gives the same files

out=bin/package
rm -rf $out
mkdir -p $out/man/modules $out/completion bin/packages

flags=(-trimpath -ldflags "-s -w -X github.com/ironpost/ironpost/cmd/internal/suite.version=v$PACKAGE_VERSION -X github.com/ironpost/ironpost/cmd/internal/suite.revision=$(git rev-parse HEAD)")
CGO_ENABLED=0 go build "${flags[@]}" -o $out/ ./cmd/...

go test -count 1 ./cmd/ironpost ./cmd/internal/suite -run '^TestManualPages$' -man "$PWD/$out/man" >/dev/null
for module in ebpf-engine log-pipeline sbom-scanner container-guard action-collector; do
	mv "$out/man/ironpost-$module.8" $out/man/modules/
done
find $out/man -type f -exec gzip -9n {} +
for shell in bash zsh fish; do
	$out/ironpost completion $shell >$out/completion/$shell
done

[ -x bin/nfpm-$nfpm ] || {
	GOBIN="$PWD/bin" go install "github.com/goreleaser/nfpm/v2/cmd/nfpm@$nfpm"
	mv bin/nfpm bin/nfpm-$nfpm
}
for package in ironpost ironpost-modules; do
	for kind in deb rpm; do
		bin/nfpm-$nfpm package --config deploy/packages/$package.yaml --packager $kind --target bin/packages/
	done
done
