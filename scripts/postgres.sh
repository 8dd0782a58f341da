#!/usr/bin/env bash
# A temporary PostgreSQL server on loopback, for tests and experiments.
#   scripts/postgres.sh start DIR     make a cluster, start it on a free port, print its SQLAlchemy URL
#   scripts/postgres.sh url DIR       print the URL again
#   scripts/postgres.sh restart DIR   drop all connections, stop the server, start it on the same port
#   scripts/postgres.sh stop DIR      stop the server and delete the cluster
# DIR contains the files url, pid, cluster and log. PostgreSQL does not run as root: for root the
# server runs as user `postgres`, or `nobody`, and that user owns the cluster. Durability is off.
set -euo pipefail

fail() {
  echo "postgres.sh: $1" >&2
  exit "${2:-1}"
}

find_bin() {
  local path folder
  for folder in $(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort --version-sort --reverse); do
    [ -x "$folder/initdb" ] && { echo "$folder"; return; }
  done
  path=$(command -v initdb) || fail "PostgreSQL's initdb was not found; on Debian: apt-get install postgresql"
  dirname "$(readlink -f "$path")"
}

# Run a command as the user of the server, in /, because that user may not read the present folder.
as_server() {
  if [ "$(id -u)" -eq 0 ]; then
    (cd / && runuser -u "$server_user" -- "$@")
  else
    "$@"
  fi
}

server_user=$(id -un)
if [ "$(id -u)" -eq 0 ]; then
  server_user=postgres
  id "$server_user" >/dev/null 2>&1 || server_user=nobody
fi

free_port() {
  "${PYTHON:-python3}" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

stop() {
  local dir=$1 pid cluster
  [ -f "$dir/cluster" ] || return 0
  cluster=$(cat "$dir/cluster")
  pid=$(head -n 1 "$cluster/data/postmaster.pid" 2>/dev/null || true)
  # After a crash another process may have the number, so the arguments of the process are compared.
  if [ -n "$pid" ] && ps -p "$pid" -o args= 2>/dev/null | grep --quiet --fixed-strings "$cluster/data"; then
    kill -INT "$pid" # fast shutdown: drops the connections
    for _ in $(seq 100); do
      kill -0 "$pid" 2>/dev/null || break
      sleep 0.1
    done
    kill -0 "$pid" 2>/dev/null && fail "the server (pid $pid) is still running after 10 s"
  fi
  rm -rf "$cluster"
  rm -f "$dir/cluster" "$dir/url" "$dir/pid"
}

start() {
  local dir=$1 bin cluster password port log
  [ -f "$dir/cluster" ] && fail "$dir already has a cluster; stop it first"
  bin=$(find_bin)
  mkdir -p "$dir"
  cluster=$(mktemp -d "/tmp/barwright-postgres.XXXXXX")
  echo "$cluster" >"$dir/cluster"
  trap 'stop "$dir"' ERR
  log=$cluster/log

  password=$(head -c 18 /dev/urandom | base64 | tr '+/' '-_')
  (umask 077 && echo "$password" >"$cluster/password")
  if [ "$(id -u)" -eq 0 ]; then
    chown -R "$server_user" "$cluster"
  fi
  as_server "$bin/initdb" --pgdata="$cluster/data" --username=barwright --pwfile="$cluster/password" \
    --auth=scram-sha-256 --encoding=UTF8 --no-locale --no-sync >"$dir/log" 2>&1 ||
    { cat "$dir/log" >&2; stop "$dir"; fail "initdb failed"; }

  # Another process may take the port before the server binds it: then try another port.
  for _ in 1 2 3 4 5; do
    port=$(free_port)
    if as_server "$bin/pg_ctl" start --silent --wait --timeout=30 --pgdata="$cluster/data" --log="$log" \
      --options="-h 127.0.0.1 -p $port -c unix_socket_directories='' -c fsync=off -c synchronous_commit=off -c full_page_writes=off" \
      >>"$dir/log" 2>&1; then
      head -n 1 "$cluster/data/postmaster.pid" >"$dir/pid"
      (umask 077 && echo "postgresql+psycopg://barwright:$password@127.0.0.1:$port/postgres" >"$dir/url")
      cat "$dir/url"
      return 0
    fi
  done
  cat "$log" >&2
  stop "$dir"
  fail "the server did not start"
}

restart() {
  local dir=$1 bin cluster
  [ -f "$dir/cluster" ] || fail "$dir has no cluster; start one first"
  bin=$(find_bin)
  cluster=$(cat "$dir/cluster")
  as_server "$bin/pg_ctl" restart --silent --wait --timeout=30 --mode=fast --pgdata="$cluster/data" \
    --log="$cluster/log" >>"$dir/log" 2>&1 || { cat "$cluster/log" >&2; fail "the server did not start again"; }
  head -n 1 "$cluster/data/postmaster.pid" >"$dir/pid"
}

[ $# -eq 2 ] || fail "usage: postgres.sh start|url|restart|stop DIR" 2
case $1 in
  start) start "$2" ;;
  stop) stop "$2" ;;
  url) cat "$2/url" ;;
  restart) restart "$2" ;;
  *) fail "usage: postgres.sh start|url|restart|stop DIR" 2 ;;
esac
