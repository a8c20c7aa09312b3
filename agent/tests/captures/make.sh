#!/usr/bin/env bash
# Makes the captures whose databases come from the real tools, and trims them to what the collectors read. Run by hand when a
# collector reads more; the results are committed. Needs root and Debian's packages
#     debootstrap rpm db5.3-util flatpak python3 gcc
# and, for rpm's own code of the ndb form, which Debian's rpm is built without, a `deb-src` line among apt's sources.
#
#     make.sh debian    minimal Debian tree by debootstrap: dpkg's status, log and lists' times  -> debian-debootstrap
#     make.sh rpm       packages built by rpmbuild and installed by rpm, in the three forms of the database:
#                       fedora-sqlite (by rpm itself); the headers it wrote, put by rpm's rpmpkg.c into opensuse-ndb, and by
#                       Berkeley DB's db_load into centos7-bdb and centos-bdb-bigendian
#     make.sh flatpak   a program and its run-time, built, exported and installed by flatpak     -> flatpak-real
#
# Each result is one NAME.capture beside this script, in the archive form of agent/src/inventory/archive.rs.
set -euo pipefail
cd "$(dirname "$0")"
out=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# pack NAME TREE PATH...: writes the paths of a tree as an archive. Times of the paths named in the file TREE.times are noted.
pack() {
    python3 - "$out/$1.capture" "${@:2}" <<'PYTHON'
import json, os, stat, sys
out, root, paths = sys.argv[1], sys.argv[2], sys.argv[3:]
entries, times = [], {}
def add(path):
    full = root + path
    mode = os.lstat(full).st_mode
    if stat.S_ISLNK(mode):
        entries.append(f"link {path} {os.readlink(full)}\n")
    elif stat.S_ISDIR(mode):
        names = sorted(os.listdir(full))
        if not names:
            entries.append(f"folder {path}\n")
        for name in names:
            add(f"{path}/{name}")
    elif stat.S_ISREG(mode):
        data = open(full, "rb").read()
        try:
            text = data.decode()
        except UnicodeDecodeError:
            text = "\0"
        if any(ord(c) < 32 and c not in "\n\t" for c in text) or "\r" in text or not text:
            digits = data.hex()
            lines = [digits[at:at + 96] for at in range(0, len(digits), 96)]
            entries.append(f"bytes {path}\n" + "".join(f"| {line}\n" for line in lines))
        else:
            kind = "file" if text.endswith("\n") else "text"
            lines = text[:-1].split("\n") if kind == "file" else text.split("\n")
            entries.append(f"{kind} {path}\n" + "".join(f"| {line}\n" for line in lines))
for path in paths:
    add(path)
if os.path.exists(root + ".times"):
    for path in open(root + ".times").read().split("\n"):
        if path and os.path.lexists(root + path):
            times[path] = {"modified_ms": int(os.lstat(root + path).st_mtime) * 1000}
notes = json.dumps({"machine": "x86_64", "times": times}, indent=1, sort_keys=True)
head = "file /capture.json\n" + "".join(f"| {line}\n" for line in notes.split("\n"))
with open(out, "w") as file:
    file.write(head + "".join(entries))
if os.path.getsize(out) > 300_000:
    sys.exit(f"{out}: too large for a test's capture")
PYTHON
}

make_debian() {
    local mirror tree=$work/debian
    # The mirror this machine uses already.
    mirror=$(sed -n 's/^URIs: *\([^ ]*\)/\1/p; s/^deb  *\(\[[^]]*\] *\)*\(http[^ ]*debian\) .*/\2/p' \
        /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list 2>/dev/null | sed -n 1p) || true
    debootstrap --variant=minbase bookworm "$tree" "$mirror" >&2
    # What only other tools read: descriptions, relations, checksums of configuration files.
    python3 - "$tree/var/lib/dpkg/status" <<'PYTHON'
import sys
keep = ("Package:", "Status:", "Priority:", "Section:", "Installed-Size:", "Maintainer:", "Architecture:", "Version:", "Multi-Arch:")
path = sys.argv[1]
paragraphs = open(path).read().split("\n\n")
trimmed = ["\n".join(l for l in p.split("\n") if l.startswith(keep)) for p in paragraphs if p.strip()]
open(path, "w").write("\n\n".join(trimmed) + "\n\n")
PYTHON
    # The older half of the log as logrotate leaves it; the lists alone date what the log has lost.
    python3 - "$tree/var/log/dpkg.log" <<'PYTHON'
import gzip, sys
path = sys.argv[1]
lines = [l for l in open(path) if " install " in l or " upgrade " in l or " status installed " in l]
third = len(lines) // 3
with open(path + ".2.gz", "wb") as raw, gzip.GzipFile("", "wb", mtime=0, fileobj=raw) as file:
    file.write("".join(lines[third:2 * third]).encode())
open(path, "w").write("".join(lines[2 * third:]))
PYTHON
    (cd "$tree" && ls -d var/lib/dpkg/info/*.list | sed 's,^,/,') >"$tree.times"
    pack debian-debootstrap "$tree" /var/lib/dpkg/status /var/log/dpkg.log /var/log/dpkg.log.2.gz /usr/lib/os-release
}

# spec NAME EPOCH VERSION RELEASE ARCH GROUP VENDOR FILES
spec() {
    mkdir -p "$work/specs"
    {
        echo "Name: $1"
        [ "$2" = - ] || echo "Epoch: $2"
        printf 'Version: %s\nRelease: %s\nGroup: %s\nSummary: %s\nLicense: X\nBuildArch: %s\n' "$3" "$4" "$6" "$1" "$5"
        [ "$7" = - ] || echo "Vendor: $7"
        printf '%%description\n%s\n%%install\nmkdir -p %%{buildroot}/usr/share/%s\n' "$1" "$1"
        printf 'for n in $(seq %s); do head -c 10 /dev/zero > %%{buildroot}/usr/share/%s/file-$n; done\n' "$8" "$1"
        printf '%%files\n/usr/share/%s\n' "$1"
    } >"$work/specs/$1.spec"
}

rpm_tree() { # BACKEND TREE DBPATH
    mkdir -p "$2$3"
    rpm --root "$2" --dbpath "$3" --define "_db_backend $1" --initdb
    rpm --root "$2" --dbpath "$3" --define "_db_backend $1" --nodeps --noscripts --ignorearch -i "$work"/rpms/*/*.rpm
}

# ndb_load DATABASE BLOB...: packages numbered in this order, of which the first is removed again: that leaves a free slot
# and old bytes behind.
ndb_load() {
    local build=$work/ndb
    mkdir -p "$build/rpm"
    (cd "$build" && apt-get source -qq --download-only rpm >&2 && tar xf rpm_*.orig.tar.* --strip-components=4 --wildcards '*/lib/backend/ndb/rpmpkg.[ch]')
    printf '#define _GNU_SOURCE\n#include <stdlib.h>\n#define _(x) x\n#define xmalloc malloc\n#define xcalloc calloc\n#define xrealloc realloc\n' >"$build/system.h"
    printf '#include <string.h>\nstatic inline char *xstrdup(const char *s) { return strdup(s); }\nenum { RPMLOG_ERR, RPMLOG_WARNING };\n#define rpmlog(...) ((void)0)\n' >"$build/rpm/rpmlog.h"
    cat >"$build/load.c" <<'C'
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include "rpmpkg.h"
int main(int count, char **names) {
    rpmpkgdb db;
    if (rpmpkgOpen(&db, names[1], O_RDWR | O_CREAT, 0644)) return 1;
    for (int at = 2; at < count; at++) {
        static unsigned char blob[1 << 24];
        unsigned int number;
        FILE *file = fopen(names[at], "rb");
        if (!file) return 2;
        size_t length = fread(blob, 1, sizeof blob, file);
        fclose(file);
        if (rpmpkgNextPkgIdx(db, &number) || rpmpkgPut(db, number, blob, length)) return 3;
    }
    if (rpmpkgDel(db, 1) || rpmpkgVerify(db)) return 4;
    rpmpkgClose(db);
    return 0;
}
C
    gcc -w -I "$build" -o "$build/load" "$build/load.c" "$build/rpmpkg.c"
    "$build/load" "$@"
}

make_rpm() {
    spec coreutils-single - 8.32 39.el9 noarch System/Base "Red Hat, Inc." 1
    spec shadow-utils 2 4.9 9.el9 noarch Unspecified "Red Hat, Inc." 40
    spec fuente-tipografica - 1.0 'lp154.1' noarch 'Sistema/Tipografía' 'Compañía Ñandú' 5
    # Many files make a header larger than a page.
    spec documentos-grandes - 2.5~rc1 1 noarch Documentation - 150
    for spec in "$work"/specs/*.spec; do
        SOURCE_DATE_EPOCH=1700000000 rpmbuild --quiet -bb --define "_topdir $work/build" --define "_rpmdir $work/rpms" \
            --define "_buildhost localhost" "$spec"
    done
    local fedora=$work/fedora suse=$work/suse centos=$work/centos big=$work/big
    rpm_tree sqlite "$fedora" /usr/lib/sysimage/rpm
    python3 - "$fedora/usr/lib/sysimage/rpm/rpmdb.sqlite" "$work/dump" <<'PYTHON'
import sqlite3, sys
path, dump = sys.argv[1], sys.argv[2]
database = sqlite3.connect(path)
rows = database.execute("SELECT hnum, blob FROM Packages ORDER BY hnum").fetchall()
# The indices over names and files are rpm's own affair; without them the file is small.
database.execute("PRAGMA journal_mode = DELETE")
for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'").fetchall():
    if table != "Packages":
        database.execute(f'DROP TABLE "{table}"')
database.commit()
database.execute("VACUUM")
database.close()
for order, name in ((1234, ".little"), (4321, ".big")):
    number = lambda n: n.to_bytes(4, "little" if order == 1234 else "big").hex()
    with open(dump + name, "w") as file:
        file.write(f"VERSION=3\nformat=bytevalue\ntype=hash\ndb_lorder={order}\ndb_pagesize=4096\nHEADER=END\n")
        # Key 0 holds the number of the last package.
        file.write(f" {number(0)}\n {number(rows[-1][0])}\n")
        for hnum, blob in rows:
            open(f"{dump}.{hnum}", "wb").write(blob)
            file.write(f" {number(hnum)}\n {blob.hex()}\n")
        file.write("DATA=END\n")
PYTHON
    mkdir -p "$suse/usr/lib/sysimage/rpm"
    ndb_load "$suse/usr/lib/sysimage/rpm/Packages.db" "$work"/dump.[1-9]
    mkdir -p "$centos/var/lib/rpm" "$big/var/lib/rpm"
    db5.3_load -f "$work/dump.little" "$centos/var/lib/rpm/Packages"
    db5.3_load -f "$work/dump.big" "$big/var/lib/rpm/Packages"
    pack fedora-sqlite "$fedora" /usr/lib/sysimage/rpm/rpmdb.sqlite
    pack opensuse-ndb "$suse" /usr/lib/sysimage/rpm/Packages.db
    pack centos7-bdb "$centos" /var/lib/rpm/Packages
    pack centos-bdb-bigendian "$big" /var/lib/rpm/Packages
}

make_flatpak() {
    local tree=$work/flatpak repo=$work/repo arch
    arch=$(flatpak --default-arch)
    export FLATPAK_SYSTEM_DIR=$tree/var/lib/flatpak XDG_DATA_HOME=$work/home
    mkdir -p "$work/runtime/files" "$work/runtime/usr" "$FLATPAK_SYSTEM_DIR"
    printf '[Runtime]\nname=org.ejemplo.Platform\nruntime=org.ejemplo.Platform/%s/23.08\n' "$arch" >"$work/runtime/metadata"
    flatpak build-export --runtime --files=usr "$repo" "$work/runtime" 23.08 >&2
    mkdir -p "$work/app/files/bin" "$work/app/files/share/app-info/xmls" "$work/app/export/share/metainfo" "$work/app/files/share/metainfo"
    printf '[Application]\nname=org.ejemplo.Editor\nruntime=org.ejemplo.Platform/%s/23.08\ncommand=editor\n' "$arch" >"$work/app/metadata"
    printf '#!/bin/true\n' >"$work/app/files/bin/editor"
    head -c 100000 /dev/zero >"$work/app/files/bin/data"
    cat >"$work/app/files/share/metainfo/org.ejemplo.Editor.metainfo.xml" <<'XML'
<?xml version="1.0" encoding="UTF-8"?>
<component type="desktop-application">
  <id>org.ejemplo.Editor</id>
  <name>Editor de Ejemplo</name>
  <developer id="org.ejemplo"><name>Taller Ñandú</name></developer>
  <releases>
    <release version="4.2.1" date="2024-05-02"/>
    <release version="4.2.0" date="2024-03-01"/>
  </releases>
</component>
XML
    printf '<?xml version="1.0"?>\n<components version="0.8">%s</components>\n' \
        "$(sed 1d "$work/app/files/share/metainfo/org.ejemplo.Editor.metainfo.xml" | sed 's/<component type="desktop-application">/<component type="desktop">/')" \
        | gzip -n >"$work/app/files/share/app-info/xmls/org.ejemplo.Editor.xml.gz"
    flatpak build-export "$repo" "$work/app" stable >&2
    flatpak build-update-repo "$repo" >&2
    flatpak --system remote-add --no-gpg-verify ejemplo "file://$repo" >&2
    flatpak --system install --noninteractive --assumeyes ejemplo org.ejemplo.Editor >&2
    # The payload and the repository are of no use here.
    find "$tree" -name data -size +50k -delete
    (cd "$tree" && find var/lib/flatpak -name deploy | sed -E 's,^,/,; s,/[0-9a-f]{64}/deploy$,/active/deploy,') >"$tree.times"
    pack flatpak-real "$tree" /var/lib/flatpak/app
}

for what in "${@:-debian rpm flatpak}"; do
    for one in $what; do "make_$one"; done
done
