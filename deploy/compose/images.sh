#!/usr/bin/env bash
# Builds the images of docker-compose.yml by deploy/Dockerfile: from bin/, without a network, or with --from-source from the
# sources. The classic builder serves; it gets only the files that an image needs.
set -euo pipefail
cd "$(dirname "$0")/../.."
export DOCKER_BUILDKIT=0
version=${IRONPOST_VERSION:-local}

build() { # image, then its programs
  local image=$1
  shift
  if [ "${from_source:-}" ]; then
    docker build -q -f deploy/Dockerfile --target "$image-from-source" --build-arg VERSION="$version" -t "ironpost/$image:$version" .
    return
  fi
  tar -c deploy/Dockerfile bin/image "${@/#/bin/}" |
    docker build -q -f deploy/Dockerfile --target "$image" -t "ironpost/$image:$version" -
}

[ "${1:-}" != --from-source ] || from_source=1
[ "${from_source:-}" ] || deploy/compose/image-files.sh
build hub ironpost-daemon ironpost
for image in ebpf-engine log-pipeline sbom-scanner container-guard action-collector socket-proxy; do
  build "$image" "ironpost-$image"
done
