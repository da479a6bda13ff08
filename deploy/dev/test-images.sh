#!/usr/bin/env bash
# Makes stand-ins of public images from programs that are installed here, where no registry can be reached:
# `test-images.sh postgres:16 prometheus`. They honour the variables and folders of the real ones that docker-compose.yml
# uses. Docker is that of DOCKER_HOST.
set -euo pipefail

work=$(mktemp -d /tmp/ironpost-images.XXXXXX)
trap 'rm -rf "$work"' EXIT

copy() { # root, then programs and folders: with the libraries they need
  local root=$1 path libraries
  shift
  for path in "$@"; do
    mkdir -p "$root$(dirname "$path")"
    cp -aL "$path" "$root$(dirname "$path")/"
  done
  libraries=$(find "$@" -type f \( -perm -u+x -o -name '*.so' \) -print0 | { xargs -0 -r ldd 2>/dev/null || true; } |
    sed -n 's/^\t.*=> \(\/[^ ]*\) .*/\1/p; s/^\t\(\/[^ ]*\) .*/\1/p' | sort -u)
  for path in $libraries; do
    mkdir -p "$root$(dirname "$path")"
    cp -L "$path" "$root$path"
  done
}

shell() { # root: busybox with links for its applets, and users
  mkdir -p "$1/bin" "$1/etc" "$1/tmp"
  chmod 1777 "$1/tmp"
  cp "$(command -v busybox)" "$1/bin/busybox"
  for applet in $(busybox --list); do [ "$applet" = busybox ] || ln -sf busybox "$1/bin/$applet"; done
  printf 'root:x:0:0::/:/bin/sh\npostgres:x:999:999::/:/bin/sh\nironpost:x:64646:64646::/:/bin/sh\n' >"$1/etc/passwd"
  printf 'root:x:0:\n' >"$1/etc/group"
}

postgres() { # name of the image
  local root=$work/postgres bin share
  bin=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -n1)
  share=/usr/share/postgresql/$(basename "$(dirname "$bin")")
  shell "$root"
  copy "$root" "$bin" "$share" /usr/share/zoneinfo "$(dirname "$bin")"/lib/{plpgsql,pg_trgm,dict_snowball,libpqwalreceiver}.so
  mkdir -p "$root/docker-entrypoint-initdb.d" "$root/var/lib/postgresql/data" "$root/var/run/postgresql"
  chmod 1777 "$root/var/lib/postgresql/data"
  chmod 3777 "$root/var/run/postgresql"
  cat >"$root/bin/docker-entrypoint.sh" <<'END'
#!/bin/sh
set -eu
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  mkdir -p "$PGDATA"
  initdb --username="$POSTGRES_USER" --pwfile="$POSTGRES_PASSWORD_FILE" $POSTGRES_INITDB_ARGS
  PGPASSWORD=$(cat "$POSTGRES_PASSWORD_FILE")
  export PGPASSWORD
  pg_ctl -w -o "-c listen_addresses=" start
  createdb -U "$POSTGRES_USER" "$POSTGRES_DB"
  for f in /docker-entrypoint-initdb.d/*; do
    case $f in
    *.sh) sh "$f" ;;
    *.sql) psql -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -d "$POSTGRES_DB" -f "$f" ;;
    esac
  done
  pg_ctl -m fast -w stop
fi
exec "$@"
END
  chmod 755 "$root/bin/docker-entrypoint.sh"
  tar -C "$root" -c . | docker import --change "ENV PATH=$bin:/bin" --change 'ENV LANG=C' \
    --change 'ENTRYPOINT ["/bin/docker-entrypoint.sh"]' --change 'CMD ["postgres"]' - "$1" >/dev/null
}

prometheus() { # name of the image
  local root=$work/prometheus
  shell "$root"
  copy "$root" /usr/bin/prometheus
  mv "$root/usr/bin/prometheus" "$root/bin/"
  mkdir -p "$root/prometheus"
  chmod 1777 "$root/prometheus"
  tar -C "$root" -c . | docker import --change 'ENTRYPOINT ["/bin/prometheus"]' - "$1" >/dev/null
}

busybox_image() { # name of the image
  shell "$work/busybox"
  tar -C "$work/busybox" -c . | docker import --change 'CMD ["sh"]' - "$1" >/dev/null
}

for image in "$@"; do
  case $image in
  postgres*) postgres "$image" ;;
  *prometheus*) prometheus "$image" ;;
  busybox*) busybox_image "$image" ;;
  *) echo "test-images: no stand-in for $image" >&2; exit 2 ;;
  esac
done
