#!/bin/sh
# A private PostgreSQL for tests: own folder, a free loopback port, no durability.
#   tests/postgres.sh start DIR [CERT KEY]   makes a server in DIR (must not exist) and prints its address; with a
#                                            certificate and its key (PEM files) it takes TLS connections alone
#   tests/postgres.sh stop DIR               stops it and removes DIR
#   tests/postgres.sh pause DIR              ends it as a fault would and keeps everything
#   tests/postgres.sh resume DIR             starts it again at the same address
# Works as root (PostgreSQL itself refuses root, so it then runs as the user postgres) and as an ordinary user.
set -eu

die() {
    echo "postgres.sh: $*" >&2
    exit 1
}

# The folder with initdb: the newest installed version, else what PATH offers (often a wrapper).
find_bin() {
    for dir in $(ls -d /usr/lib/postgresql/*/bin /usr/pgsql-*/bin 2>/dev/null | sort -rV); do
        if [ -x "$dir/initdb" ] && [ -x "$dir/postgres" ] && [ -x "$dir/pg_ctl" ]; then
            echo "$dir"
            return
        fi
    done
    if command -v initdb >/dev/null && command -v pg_ctl >/dev/null; then
        dirname "$(command -v initdb)"
        return
    fi
    die "no initdb found: install the package postgresql"
}

# Runs a command as the user the server runs as.
as_server() {
    if [ "$(id -u)" = 0 ]; then
        setpriv --reuid=postgres --regid=postgres --init-groups -- env -u CDPATH HOME="$dir" "$@"
    else
        "$@"
    fi
}

start() {
    bin=$(find_bin)
    [ ! -e "$dir" ] || die "$dir is already there"
    mkdir -p "$dir"
    chmod 700 "$dir"
    if [ "$(id -u)" = 0 ]; then
        id postgres >/dev/null 2>&1 || die "there is no user postgres: install the package postgresql"
        chown postgres: "$dir"
        # The server's user must be able to walk to its folder.
        (cd / && as_server test -w "$dir") || die "the user postgres cannot reach $dir: use a folder under /tmp"
    fi
    cd /
    as_server "$bin/initdb" -D "$dir/data" -U chasqui -A trust -E UTF8 --locale=C -N >"$dir/initdb.log" 2>&1 ||
        die "initdb failed: $(tail -3 "$dir/initdb.log")"
    tls=
    if [ -n "$cert" ]; then
        cp "$cert" "$dir/data/server.crt"
        cp "$key" "$dir/data/server.key"
        chmod 600 "$dir/data/server.key"
        [ "$(id -u)" != 0 ] || chown postgres: "$dir/data/server.crt" "$dir/data/server.key"
        echo 'hostssl all all 127.0.0.1/32 trust' >"$dir/data/pg_hba.conf"
        tls='ssl = on'
    fi
    tries=0
    while :; do
        port=$((20000 + $(od -An -N2 -tu2 /dev/urandom) % 12000))
        cat >"$dir/data/postgresql.auto.conf" <<CONF
listen_addresses = '127.0.0.1'
port = $port
unix_socket_directories = ''
fsync = off
synchronous_commit = off
full_page_writes = off
max_connections = 300
shared_buffers = 64MB
max_pred_locks_per_transaction = 256
$tls
CONF
        if as_server "$bin/pg_ctl" -D "$dir/data" -l "$dir/server.log" -w -t 60 start >"$dir/start.log" 2>&1; then
            break
        fi
        tries=$((tries + 1))
        [ "$tries" -lt 5 ] || die "the server does not start: $(tail -5 "$dir/server.log")"
    done
    echo "postgresql://chasqui@127.0.0.1:$port/postgres"
}

stop() {
    [ -d "$dir/data" ] || die "$dir holds no server"
    bin=$(find_bin)
    cd /
    as_server "$bin/pg_ctl" -D "$dir/data" -m immediate -w stop >/dev/null 2>&1 || true
    rm -rf "$dir"
}

pause() {
    [ -d "$dir/data" ] || die "$dir holds no server"
    bin=$(find_bin)
    cd /
    as_server "$bin/pg_ctl" -D "$dir/data" -m immediate -w stop >/dev/null 2>&1 || die "the server does not stop"
}

resume() {
    [ -d "$dir/data" ] || die "$dir holds no server"
    bin=$(find_bin)
    cd /
    as_server "$bin/pg_ctl" -D "$dir/data" -l "$dir/server.log" -w -t 60 start >"$dir/start.log" 2>&1 ||
        die "the server does not start: $(tail -5 "$dir/server.log")"
}

usage="usage: postgres.sh start DIR [CERT KEY] | stop|pause|resume DIR"
[ $# = 2 ] || [ $# = 4 ] || die "$usage"
cert=${3:-}
key=${4:-}
case $2 in
/*) dir=$2 ;;
*) dir=$PWD/$2 ;;
esac
case $1 in
start) start ;;
stop) stop ;;
pause) pause ;;
resume) resume ;;
*) die "$usage" ;;
esac
