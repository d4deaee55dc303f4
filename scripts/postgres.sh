#!/usr/bin/env bash
# A PostgreSQL server for tests: start installs it if it is missing, makes an empty one and prints its address.
# It listens on 127.0.0.1 only, on a free port, with a random password, and keeps nothing when it is stopped.
set -euo pipefail

home="${CDI_POSTGRES_HOME:-${TMPDIR:-/tmp}/cdi-postgres-$(id -u)}"

binaries() {
    local candidate
    for candidate in /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /opt/homebrew/opt/postgresql*/bin /usr/local/opt/postgresql*/bin; do
        [ -x "$candidate/initdb" ] && found="$candidate"
    done
    if [ -z "${found:-}" ] && command -v initdb >/dev/null; then found=$(dirname "$(command -v initdb)"); fi
    [ -n "${found:-}" ]
}

install_server() {
    local sudo=""
    [ "$(id -u)" = 0 ] || sudo="sudo"
    if command -v apt-get >/dev/null; then
        echo "Installing PostgreSQL" >&2
        $sudo apt-get update -qq >&2
        DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq postgresql >&2
    elif command -v dnf >/dev/null; then
        $sudo dnf install -y -q postgresql-server >&2
    elif command -v brew >/dev/null; then
        brew install --quiet postgresql >&2
    else
        echo "PostgreSQL is not installed, and no package manager that this script knows is there." >&2
        exit 1
    fi
}

# The server refuses to run as root.
as_owner() {
    if [ "$(id -u)" = 0 ]; then
        runuser -u "$owner" -- "$@"
    else
        "$@"
    fi
}

owner=$(id -un)
if [ "$owner" = root ]; then owner=nobody; id postgres >/dev/null 2>&1 && owner=postgres; fi

case "${1:-}" in
start)
    binaries || { install_server; binaries; } || { echo "PostgreSQL's initdb was not found after installing." >&2; exit 1; }
    if id postgres >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then owner=postgres; fi
    if [ -s "$home/url" ] && as_owner "$found/pg_ctl" -D "$home/data" status >/dev/null 2>&1; then
        cat "$home/url"
        exit 0
    fi
    rm -rf "$home"
    mkdir -p "$home"
    chmod 700 "$home"
    (umask 077; head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n' > "$home/password")
    [ "$(id -u)" != 0 ] || chown -R "$owner" "$home"
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    cd /
    as_owner "$found/initdb" -D "$home/data" -U cdi --pwfile="$home/password" -A scram-sha-256 -E UTF8 --locale=C >"$home/log" 2>&1 \
        || { cat "$home/log" >&2; exit 1; }
    # Nothing in it has to survive a power cut.
    as_owner "$found/pg_ctl" -D "$home/data" -l "$home/server.log" -w -t 60 start -o "-p $port -k '$home' -c listen_addresses=127.0.0.1 \
        -c fsync=off -c synchronous_commit=off -c full_page_writes=off -c shared_buffers=512MB -c work_mem=64MB \
        -c maintenance_work_mem=256MB -c max_wal_size=4GB" >/dev/null 2>&1 </dev/null || { cat "$home/server.log" >&2; exit 1; }
    (umask 077; printf 'postgresql://cdi:%s@127.0.0.1:%s/postgres\n' "$(cat "$home/password")" "$port" > "$home/url")
    cat "$home/url"
    ;;
stop)
    binaries || exit 0
    cd /
    if [ -d "$home/data" ]; then as_owner "$found/pg_ctl" -D "$home/data" -m immediate stop >/dev/null 2>&1 || true; fi
    rm -rf "$home"
    ;;
url)
    cat "$home/url"
    ;;
*)
    echo "Usage: scripts/postgres.sh start|stop|url" >&2
    exit 2
    ;;
esac
