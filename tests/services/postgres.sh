#!/usr/bin/env bash
# A private PostgreSQL server on 127.0.0.1, as a plain process, for tests.
#
#   postgres.sh run   [options]   start, print the connection URL, and stop and delete everything when stdin ends
#   postgres.sh start [options]   start in the background and print the connection URL
#   postgres.sh url   [options]   print the connection URL
#   postgres.sh stop  [options]   stop the server that was started in the directory
#   postgres.sh wipe  [options]   stop, then delete the directory
#
#   --dir DIR      data, sockets and log (run: a new one in ${TMPDIR:-/tmp}; otherwise needed)
#   --port N       port (default: one that is free)
#   --durable      sync to the disk; without it a crash of the machine loses the data, and tests are several times faster
#   --no-install   fail instead of installing the Debian package
#
# PostgreSQL refuses to run as root: started by root, the server runs as the system user "postgres". It listens on 127.0.0.1 and on a
# socket in DIR/run alone; its password is made anew for each directory.
set -euo pipefail

NAME=securecloud
VERB=${1:-}
[ $# -eq 0 ] || shift
DIR=
PORT=
DURABLE=0
INSTALL=1

die() { echo "postgres.sh: $*" >&2; exit 1; }
say() { echo "postgres.sh: $*" >&2; }
help() { sed -n '2,/^set -euo/p' "$0" | sed '$d; s/^# \{0,1\}//'; exit 2; }

while [ $# -gt 0 ]; do
  case $1 in
    --dir) DIR=${2:?--dir needs a value}; shift 2 ;;
    --port) PORT=${2:?--port needs a value}; shift 2 ;;
    --durable) DURABLE=1; shift ;;
    --no-install) INSTALL=0; shift ;;
    *) die "unknown option $1" ;;
  esac
done

is_root() { [ "$(id -u)" = 0 ]; }
as_postgres() { if is_root; then runuser -u postgres -- "$@"; else "$@"; fi; }
url() { echo "postgresql://$NAME:$(cat "$DIR/password")@127.0.0.1:$(cat "$DIR/port")/$NAME"; }
port_is_taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

find_programs() {
  for BIN in /usr/lib/postgresql/{17,16,15}/bin; do
    [ -x "$BIN/initdb" ] && return 0
  done
  return 1
}

install_package() {
  find_programs && return 0
  local fix="install PostgreSQL 15 or newer: apt-get install postgresql-15"
  [ $INSTALL = 1 ] || die "no PostgreSQL in /usr/lib/postgresql; $fix"
  is_root || die "no PostgreSQL in /usr/lib/postgresql, and only root can install it; $fix"
  command -v apt-get > /dev/null || die "no PostgreSQL in /usr/lib/postgresql, and no apt-get; $fix"
  say "installing postgresql-15"
  # The distribution is neither to make nor to start a cluster of its own.
  mkdir -p /etc/postgresql-common
  [ -e /etc/postgresql-common/createcluster.conf ] || echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql-15; } \
    > "$DIR/log/apt.log" 2>&1 < /dev/null || { tail -5 "$DIR/log/apt.log" >&2; die "apt-get failed; $fix"; }
  find_programs || die "postgresql-15 was installed, but /usr/lib/postgresql has no initdb"
}

is_running() {
  local pid
  pid=$(head -1 "$DIR/data/postmaster.pid" 2>/dev/null) && tr '\0' ' ' < "/proc/$pid/cmdline" 2>/dev/null | grep -qF -e "-D $DIR/data"
}

choose_port() {
  local tries
  for tries in {1..100}; do
    PORT=$((20000 + (RANDOM * 32768 + RANDOM) % 12000))
    port_is_taken "$PORT" || return 0
  done
  die "no port between 20000 and 32000 is free"
}

make_cluster() {
  [ -s "$DIR/data/PG_VERSION" ] && return 0
  (umask 077; head -c 18 /dev/urandom | base64 | tr '+/' '-_' > "$DIR/password")
  is_root && chown -R postgres: "$DIR"
  as_postgres test -w "$DIR/run" || die "the user postgres cannot reach $DIR; choose a --dir whose parents it may enter"
  as_postgres "$BIN/initdb" -D "$DIR/data" -U admin --pwfile "$DIR/password" --auth-local=scram-sha-256 --auth-host=scram-sha-256 \
    -E UTF8 --locale=C.UTF-8 --no-sync > "$DIR/log/initdb.log" 2>&1 || { tail -5 "$DIR/log/initdb.log" >&2; die "initdb failed"; }
}

make_database() {
  local psql=("$BIN/psql" -h 127.0.0.1 -p "$PORT" -U admin -d postgres -v ON_ERROR_STOP=1 -qtAX)
  PGPASSWORD=$(cat "$DIR/password")
  export PGPASSWORD
  [ "$("${psql[@]}" -c "select 1 from pg_roles where rolname = '$NAME'")" = 1 ] && return 0
  "${psql[@]}" -c "create role $NAME login password '$PGPASSWORD'" -c "create database $NAME owner $NAME" || die "making the database failed"
}

start() {
  [ -n "$DIR" ] || die "which directory? give --dir"
  [ ${#DIR} -le 85 ] || die "--dir is too long for a unix socket (85 characters at most)"
  case $DIR in /?*) ;; *) die "--dir is an absolute path" ;; esac
  [ ! -d "$DIR" ] || [ -e "$DIR/port" ] || [ -z "$(ls -A "$DIR")" ] || die "$DIR is not empty and was not made by this script"
  mkdir -p "$DIR/log" "$DIR/run"
  install_package
  is_running && return 0
  [ -n "$PORT" ] || choose_port
  ! port_is_taken "$PORT" || die "port $PORT is taken; choose another --port"
  make_cluster
  echo "$PORT" > "$DIR/port"
  local options="-c listen_addresses=127.0.0.1 -c port=$PORT -c unix_socket_directories=$DIR/run -c max_connections=200 -c shared_buffers=64MB"
  [ $DURABLE = 1 ] || options="$options -c fsync=off -c full_page_writes=off"
  as_postgres "$BIN/pg_ctl" -D "$DIR/data" -l "$DIR/log/postgres.log" -w -t 60 -o "$options" start > "$DIR/log/pg_ctl.log" 2>&1 < /dev/null \
    || { tail -5 "$DIR/log/postgres.log" >&2; die "the server did not start"; }
  make_database
}

stop() {
  is_running || return 0
  find_programs || die "PostgreSQL's programs are gone; end process $(head -1 "$DIR/data/postmaster.pid") yourself"
  as_postgres "$BIN/pg_ctl" -D "$DIR/data" -m immediate -w -t 60 stop > /dev/null || die "the server did not stop, see $DIR/log/postgres.log"
}

wipe() {
  [ -d "$DIR" ] || return 0
  [ -e "$DIR/port" ] || die "$DIR was not made by this script; not deleting it"
  stop
  rm -rf -- "$DIR"
}

case $VERB in
  run)
    if [ -z "$DIR" ]; then
      DIR=$(mktemp -d "${TMPDIR:-/tmp}/postgres-XXXXXX")
      chmod 755 "$DIR"
    fi
    # An interrupt of the whole group still leaves time to clean up.
    trap '' INT HUP
    trap '[ ! -e "$DIR/port" ] || wipe' EXIT
    start
    url
    cat > /dev/null
    ;;
  start) start; url ;;
  url) [ -s "$DIR/port" ] || die "nothing was started in '$DIR'"; url ;;
  stop) stop ;;
  wipe) wipe ;;
  *) help ;;
esac
