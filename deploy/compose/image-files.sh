#!/usr/bin/env bash
# Puts into bin/image what the images of deploy/Dockerfile hold beside the programs: users, time zones,
# certificate authorities, and an empty folder for data.
set -euo pipefail
cd "$(dirname "$0")/../.."

rm -rf bin/image
mkdir -p bin/image/root/usr/share bin/image/root/etc/ssl/certs bin/image/data
cp "$(go env GOROOT)/lib/time/zoneinfo.zip" bin/image/root/usr/share/
cp /etc/ssl/certs/ca-certificates.crt bin/image/root/etc/ssl/certs/
printf 'root:x:0:0::/:\nironpost:x:64646:64646::/var/lib/ironpost:\n' >bin/image/root/etc/passwd
printf 'root:x:0:\nironpost:x:64646:\n' >bin/image/root/etc/group
touch bin/image/data/.keep # git and builders leave out what is empty
