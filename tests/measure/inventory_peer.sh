#!/usr/bin/env bash
# One full inventory of this machine by chasqui-agent and by FusionInventory, in one run, cold (as root, with dropped caches)
# and warm: wall time, processor time and peak memory, with ratios.
#   tests/measure/inventory_peer.sh [path of chasqui-agent]
set -euo pipefail
cd "$(dirname "$0")/../.."
agent=${1:-target/release/chasqui-agent}
say() { printf '%s\n' "$*" >&2; }
[ -x "$agent" ] || { say "$agent is missing: build it, or name another"; exit 1; }
command -v fusioninventory-inventory >/dev/null || { say "install the package fusioninventory-agent"; exit 1; }
[ -x /usr/bin/time ] || { say "install the package time"; exit 1; }
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
exec python3 - "$folder" "$(realpath "$agent")" <<'PY'
import os, subprocess, sys, time
folder, agent = sys.argv[1:]
commands = {
    # The same sections: what the peer does not know is off here, and what chasqui does not collect is off there.
    "chasqui": [agent, "inventory", "--format", "glpi", "--without",
                "updates,services,certificates,firmware,disk_health"],
    "peer": ["fusioninventory-inventory", "--no-category", "environment,process,licenseinfo"],
}
def once(name):
    out = open(os.path.join(folder, name), "wb")
    began = time.monotonic()
    child = subprocess.Popen(commands[name], stdout=out, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    if status:
        sys.exit(f"{name} ended with {status}")
    return time.monotonic() - began, used.ru_utime + used.ru_stime
def peak(name):
    # A child of this interpreter would begin with the interpreter's own peak: a small program stands between.
    log = os.path.join(folder, "peak")
    subprocess.run(["/usr/bin/time", "-f", "%M", "-o", log, *commands[name]], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return int(open(log).read())
def run(title, before, times):
    best = {}
    for name in commands:
        rows = []
        for _ in range(times):
            before()
            rows.append((*once(name), peak(name)))
        best[name] = tuple(sorted(column)[len(column) // 2] for column in zip(*rows))
        wall, cpu, rss = best[name]
        print(f"{title:5} {name:8} wall {wall:8.3f} s   cpu {cpu:8.3f} s   peak {rss / 1024:8.1f} MiB")
    ratios = [b / a if a else float("inf") for a, b in zip(best["chasqui"], best["peer"])]
    print(f"{title:5} peer/chasqui: wall {ratios[0]:.1f}   cpu {ratios[1]:.1f}   memory {ratios[2]:.1f}")
def drop():
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w") as file:
        file.write("3")
if os.geteuid() == 0 and os.access("/proc/sys/vm/drop_caches", os.W_OK):
    run("cold", drop, 3)
else:
    print("cold: left out, dropping caches needs root")
for name in commands:
    once(name)
run("warm", lambda: None, 5)
PY
