#!/bin/sh
# Installs built programs on this machine, with their systemd units.
#
#   installer/install.sh agent  --bin DIR --server https://HOST:PORT --root root.json --token FILE|-
#   installer/install.sh server --bin DIR
#   installer/install.sh remove agent|server
#
# Running it again upgrades the programs and leaves configuration, keys and data as they are. With --prefix DIR
# everything goes below DIR and no service is touched (for packages and tests).
set -eu

bin=target/release
server=
root_json=
token=
prefix=
die() { printf 'install.sh: %s\n' "$*" >&2; exit 1; }
say() { printf '%s\n' "$*"; }
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)

[ $# -ge 1 ] || { sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 2; }
what=$1
shift
remove=
if [ "$what" = remove ]; then
    [ $# -ge 1 ] || die "remove what? agent or server"
    remove=yes
    what=$1
    shift
fi
case $what in agent | server) ;; *) die "unknown part '$what': agent or server" ;; esac
while [ $# -gt 0 ]; do
    [ $# -ge 2 ] || die "$1 needs a value"
    case $1 in
    --bin) bin=$2 ;;
    --server) server=$2 ;;
    --root) root_json=$2 ;;
    --token) token=$2 ;;
    --prefix) prefix=$2 ;;
    *) die "unknown option $1" ;;
    esac
    shift 2
done
[ -n "$prefix" ] || [ "$(id -u)" = 0 ] || die "run it as root (or with --prefix DIR)"

etc=$prefix/etc/chasqui
unit_folder=$prefix/usr/lib/systemd/system
live() { [ -z "$prefix" ] && command -v systemctl >/dev/null 2>&1 && [ -d /run/systemd/system ]; }

if [ -n "$remove" ]; then
    if live; then systemctl disable --now "chasqui-$what.service" || true; fi
    rm -f "$prefix/usr/bin/chasqui-$what" "$unit_folder/chasqui-$what.service"
    if [ "$what" = agent ]; then rm -f "$prefix/usr/lib/chasqui/chasqui-consent"; fi
    if live; then systemctl daemon-reload; fi
    say "removed chasqui-$what; $etc and $prefix/var/lib/chasqui-$what stay (keys and records): delete them by hand"
    exit 0
fi

[ -x "$bin/chasqui-$what" ] || die "no program $bin/chasqui-$what: build it with cargo build --release, or name its folder with --bin"

# What is missing is said before anything is written.
case $what in
agent) config=$etc/agent.toml ;;
server) config=$prefix/var/lib/chasqui-server/server.toml ;;
esac
identity=$prefix/var/lib/chasqui-agent/identity.toml
if [ "$what" = agent ] && [ ! -e "$config" ]; then
    [ -n "$server" ] || die "a first installation needs --server https://HOST:PORT"
    case $server in https://*) ;; *) die "--server must begin with https://" ;; esac
    case $server in *[!A-Za-z0-9:/.\[\]_-]*) die "--server holds a character no address has" ;; esac
    [ -f "$root_json" ] || die "a first installation needs --root root.json: the root of trust is brought by hand, never by the network"
    [ -n "$token" ] || die "a first installation needs --token FILE (or - to read it from the standard input)"
    if [ "$token" != - ] && [ ! -f "$token" ]; then die "no token file $token"; fi
fi

install -d -m 755 "$prefix/usr/bin" "$unit_folder"
install -d -m 755 "$etc"
install -m 755 "$bin/chasqui-$what" "$prefix/usr/bin/chasqui-$what"
install -m 644 "$here/systemd/chasqui-$what.service" "$unit_folder/chasqui-$what.service"

case $what in
agent)
    install -d -m 755 "$prefix/var/lib/chasqui-agent"
    # The window in which people are asked; without it they are asked on terminals alone.
    if [ -x "$bin/chasqui-consent" ]; then
        install -d -m 755 "$prefix/usr/lib/chasqui"
        install -m 755 "$bin/chasqui-consent" "$prefix/usr/lib/chasqui/chasqui-consent"
    else
        say "no program $bin/chasqui-consent: people are asked on terminals alone"
    fi
    if [ -n "$root_json" ] && [ ! -e "$etc/root.json" ]; then install -m 644 "$root_json" "$etc/root.json"; fi
    if [ ! -e "$config" ]; then
        umask 077
        {
            printf '# Chasqui agent. Every key: docs/configuration.md\n'
            printf 'server = "%s"\n' "$server"
            printf 'state_dir = "/var/lib/chasqui-agent"\n'
            printf 'root = "/etc/chasqui/root.json"\n'
            printf 'policy = "/etc/chasqui/policy.toml"\n'
        } >"$config"
    fi
    # By the identity, not by the configuration: an enrolment that failed is tried again by the next run.
    if [ ! -e "$identity" ]; then
        if ! live; then
            say "not enrolled: no running system here. Enrol with: chasqui-agent enrol --config $config --token-file FILE"
        elif [ -z "$token" ]; then
            die "this machine is not enrolled: run it again with --token FILE (or - for the standard input)"
        else
            # Never on the command line, which every process of the machine can see.
            chasqui-agent enrol --config "$config" --token-file "$token" ||
                die "the enrolment failed; nothing is lost: mend what it says and run this again with --token"
        fi
    fi
    ;;
server)
    if [ -z "$prefix" ]; then
        getent passwd chasqui >/dev/null 2>&1 ||
            useradd --system --home-dir /var/lib/chasqui-server --no-create-home --shell /usr/sbin/nologin chasqui
        install -d -m 700 -o chasqui -g chasqui /var/lib/chasqui-server
    else
        install -d -m 700 "$prefix/var/lib/chasqui-server"
    fi
    if [ -x "$bin/chasqui" ]; then install -m 755 "$bin/chasqui" "$prefix/usr/bin/chasqui"; fi
    if [ ! -e "$config" ]; then
        say "next: sudo -u chasqui chasqui-server init --help   (makes $config, the device authority and the first administrator),"
        say "then run this again: it starts the service"
    fi
    ;;
esac

if live; then
    systemctl daemon-reload
    if [ -e "$config" ]; then
        systemctl enable --now "chasqui-$what.service"
        systemctl restart "chasqui-$what.service"
        say "chasqui-$what is installed and running: systemctl status chasqui-$what"
    fi
else
    say "chasqui-$what is installed below ${prefix:-/}"
fi
