#!/usr/bin/env bash
# Builds the images of docker-compose.yml by deploy/Dockerfile: from bin/, without a network, or with --from-source from the
# sources. The classic builder serves; it gets only the files that an image needs.
set -euo pipefail
cd "$(dirname "$0")/../.."
export DOCKER_BUILDKIT=0 # the image has no shell, and needs nothing of BuildKit
version=${IRONPOST_VERSION:-local}

build() { # image, its program, further arguments of docker build
  local image=$1 program=$2
  shift 2
  set -- -q -f deploy/Dockerfile --build-arg PROGRAM="$program" --build-arg VERSION="$version" --build-arg REVISION="$(git rev-parse HEAD 2>/dev/null || true)" -t "ironpost/$image:$version" "$@"
  if [ "$from_source" ]; then
    docker build --target image-from-source "$@" .
  else
    tar -c deploy/Dockerfile bin/image "bin/$program" bin/ironpost | docker build --target image "$@" -
  fi
}

from_source=''
[ "${1:-}" != --from-source ] || from_source=1
[ "$from_source" ] || deploy/compose/image-files.sh
build hub ironpost-daemon --build-arg ALSO=ironpost
build ebpf-engine ironpost-ebpf-engine --build-arg OWNER=0:0
for image in log-pipeline sbom-scanner container-guard action-collector socket-proxy; do
  build "$image" "ironpost-$image"
done
