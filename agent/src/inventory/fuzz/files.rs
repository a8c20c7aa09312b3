//! Parsers inside their collectors, each reached by a file of a machine.

use super::{Reads, Target};

type Beside = &'static [(&'static str, &'static str)];

const fn target(
    name: &'static str,
    section: &'static str,
    path: &'static str,
    sample: &'static [u8],
    beside: Beside,
) -> Target {
    Target {
        name,
        sample,
        seeds: &[],
        reads: Reads::File {
            path,
            section,
            beside,
        },
    }
}

const fn seeded(target: Target, seeds: &'static [&'static str]) -> Target {
    Target { seeds, ..target }
}

const STATUS: (&str, &str) = (
    "/var/lib/dpkg/status",
    "Package: bash\nStatus: install ok installed\nArchitecture: amd64\n\
Version: 5.0-4\n\n",
);
const LIST: (&str, &str) = (
    "/var/lib/apt/lists/h_dists_s_main_binary-amd64_Packages",
    "Package: bash\nArchitecture: amd64\nVersion: 5.1-1\n\n",
);
const PASSWD: (&str, &str) = (
    "/etc/passwd",
    "root:x:0:0:root:/root:/bin/bash\nana:x:1000:1000:Ana,,,:/home/ana:/bin/bas\
h\n",
);
const QUEUE: (&str, &str) = (
    "/etc/cups/printers.conf",
    "# Printer configuration\n<Printer Piso3>\nDeviceURI ipp://10.0.0.9/ipp\n\
State Idle\n</Printer>\n",
);
/// An interface with one address.
const INTERFACE: Beside = &[
    ("/sys/class/net/eth0/type", "1\n"),
    ("/sys/class/net/eth0/ifindex", "2\n"),
    ("/sys/class/net/eth0/flags", "0x1003\n"),
    (
        "/proc/net/if_inet6",
        "20010db8000000000000000000000005 02 40 00 80 eth0\n",
    ),
];

pub(super) static TARGETS: &[Target] = &[
    target(
        "apt_conf",
        "updates",
        "/etc/apt/apt.conf.d/20auto-upgrades",
        b"APT::Periodic::Unattended-Upgrade \"1\";\n",
        &[STATUS, LIST],
    ),
    target(
        "apt_packages",
        "updates",
        LIST.0,
        b"Package: bash\nArchitecture: amd64\nVersion: 5.1-1\n\n",
        &[STATUS],
    ),
    seeded(
        target(
            "apt_packages_gz",
            "updates",
            "/var/lib/apt/lists/h_dists_s_main_binary-amd64_Packages.gz",
            b"",
            &[STATUS],
        ),
        &["/Packages.gz"],
    ),
    seeded(
        target(
            "apt_packages_lz4",
            "updates",
            "/var/lib/apt/lists/h_dists_s_main_binary-amd64_Packages.lz4",
            b"",
            &[STATUS],
        ),
        &["/Packages.lz4"],
    ),
    target(
        "apt_release",
        "updates",
        "/var/lib/apt/lists/h_dists_s_InRelease",
        b"Origin: Debian\nLabel: Debian-Security\nNotAutomatic: yes\n",
        &[STATUS, LIST],
    ),
    target(
        "apt_status",
        "updates",
        STATUS.0,
        b"Package: bash\nStatus: install ok installed\nArchitecture: amd64\n\
Version: 5.0-4\n\n",
        &[LIST],
    ),
    target(
        "autostart",
        "services",
        "/etc/xdg/autostart/nube.desktop",
        b"[Desktop Entry]\nName=Nube\nExec=/usr/bin/nube --quiet\nHidden=true\n",
        &[],
    ),
    seeded(
        target(
            "certificate_der",
            "certificates",
            "/etc/nginx/ssl/a.der",
            b"",
            &[],
        ),
        &["/certificate.der"],
    ),
    seeded(
        target(
            "certificate_pem",
            "certificates",
            "/etc/nginx/ssl/a.pem",
            b"",
            &[],
        ),
        &[".pem"],
    ),
    seeded(
        target(
            "clamav_database",
            "security",
            "/var/lib/clamav/daily.cld",
            b"",
            &[("/usr/bin/clamscan", "")],
        ),
        &["/var/lib/clamav/daily.cld"],
    ),
    seeded(
        target(
            "cpuinfo",
            "cpu",
            "/proc/cpuinfo",
            b"processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\n\
model\t\t: 58\nmodel name\t: Intel(R) Core(TM) i5-3470\n\
flags\t\t: fpu sse2\nphysical id\t: 0\ncore id\t\t: 0\n\
cpu cores\t: 4\n\n",
            &[],
        ),
        &["/proc/cpuinfo"],
    ),
    seeded(
        target(
            "crontab",
            "services",
            "/etc/crontab",
            b"SHELL=/bin/sh\n17 *\t* * *\troot\tcd / && run-parts /etc/cron.hourly\n\
@reboot root /usr/bin/x\n",
            &[],
        ),
        &["/etc/crontab"],
    ),
    target(
        "crontab_own",
        "services",
        "/var/spool/cron/crontabs/ana",
        b"*/5 * * * * /home/ana/x --secret\n",
        &[],
    ),
    seeded(
        target(
            "cups_ppd",
            "printers",
            "/etc/cups/ppd/Piso3.ppd",
            b"*PPD-Adobe: \"4.3\"\n*NickName: \"HP LaserJet 400 M401n\"\n",
            &[QUEUE],
        ),
        &[".ppd"],
    ),
    target(
        "cups_lpoptions",
        "printers",
        "/etc/cups/lpoptions",
        b"Default Piso3/x option=1\n",
        &[QUEUE],
    ),
    seeded(
        target(
            "cups_printers",
            "printers",
            QUEUE.0,
            b"# Printer configuration\n<DefaultPrinter Piso3>\nInfo Piso 3\n\
DeviceURI usb://HP/LaserJet?serial=VNC3\nState Stopped\n\
Shared Yes\n</DefaultPrinter>\n",
            &[],
        ),
        &["/etc/cups/printers.conf"],
    ),
    target(
        "directory_ipa",
        "directory",
        "/etc/ipa/default.conf",
        b"[global]\ndomain = min.example\nrealm = MIN.EXAMPLE\n\
server = ipa.min.example\n",
        &[],
    ),
    target(
        "directory_krb5",
        "directory",
        "/etc/krb5.conf",
        b"[libdefaults]\n default_realm = MIN.EXAMPLE\n",
        &[(
            "/etc/sssd/sssd.conf",
            "[sssd]\ndomains = d\n[domain/d]\nid_provider = ldap\n",
        )],
    ),
    target(
        "directory_nslcd",
        "directory",
        "/etc/nslcd.conf",
        b"uri ldap://a.example ldap://b.example\nbase dc=example\nbindpw s3\n",
        &[],
    ),
    target(
        "directory_sssd",
        "directory",
        "/etc/sssd/sssd.conf",
        b"[sssd]\ndomains = local, min.example\n[domain/min.example]\n\
id_provider = ad\nad_server = _srv_, dc1.min.example\n",
        &[],
    ),
    target(
        "directory_winbind",
        "directory",
        "/etc/samba/smb.conf",
        b"[global]\nworkgroup = MIN\nsecurity = ADS\nrealm = MIN.EXAMPLE\n",
        &[],
    ),
    target(
        "efi_secure_boot",
        "firmware",
        "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c",
        b"\x06\0\0\0\x01",
        &[("/sys/firmware/efi/fw_platform_size", "64\n")],
    ),
    seeded(
        target(
            "firewall_firewalld",
            "security",
            "/etc/firewalld/firewalld.conf",
            b"DefaultZone=public\n",
            &[],
        ),
        &["/etc/firewalld/firewalld.conf"],
    ),
    target(
        "firewall_iptables",
        "security",
        "/etc/iptables/rules.v4",
        b"*filter\n:INPUT DROP [0:0]\n-A INPUT -i lo -j ACCEPT\nCOMMIT\n",
        &[],
    ),
    target(
        "firewall_nftables",
        "security",
        "/etc/nftables.conf",
        b"table inet filter {\n chain input {\n  type filter hook input priority 0; \
policy drop;\n }\n}\n",
        &[],
    ),
    target(
        "firewall_ufw",
        "security",
        "/etc/ufw/ufw.conf",
        b"ENABLED=yes\nLOGLEVEL=low\n",
        &[("/etc/default/ufw", "DEFAULT_INPUT_POLICY=\"DROP\"\n")],
    ),
    target(
        "firewall_zone",
        "security",
        "/etc/firewalld/zones/public.xml",
        b"<?xml version=\"1.0\"?><zone target=\"DROP\"><short>Public</short></zone>",
        &[("/etc/firewalld/firewalld.conf", "DefaultZone=public\n")],
    ),
    target(
        "group",
        "accounts",
        "/etc/group",
        b"root:x:0:\nsudo:x:27:ana\n",
        &[PASSWD],
    ),
    seeded(
        target(
            "guest_docker",
            "guests",
            "/var/lib/docker/containers/0a1b2c/config.v2.json",
            b"",
            &[],
        ),
        &["/config.v2.json"],
    ),
    target(
        "guest_docker_host",
        "guests",
        "/var/lib/docker/containers/0a1b2c/hostconfig.json",
        br#"{"AutoRemove":false,"Memory":1073741824,"NanoCpus":2000000000}"#,
        &[(
            "/var/lib/docker/containers/0a1b2c/config.v2.json",
            r#"{"Name":"/web","ID":"0a1b2c","Config":{"Image":"nginx"},
"State":{"Running":true}}"#,
        )],
    ),
    seeded(
        target(
            "guest_libvirt",
            "guests",
            "/etc/libvirt/qemu/pruebas.xml",
            b"<domain type='kvm'><name>a</name><uuid>c7a5fdbd-cdaf-9455-926a-d65c16db180\
9</uuid><memory unit='GiB'>4</memory><vcpu>2</vcpu></domain>",
            &[],
        ),
        &["/etc/libvirt/qemu/pruebas.xml"],
    ),
    target(
        "guest_lxc",
        "guests",
        "/var/lib/lxc/web/config",
        b"lxc.uts.name = web\nlxc.cgroup2.memory.max = 2G\nlxc.rootfs.path = dir:/x\n",
        &[],
    ),
    target(
        "guest_podman",
        "guests",
        "/var/lib/containers/storage/overlay-containers/containers.json",
        br#"[{"id":"ab","names":["web"],"metadata":"{\"image-name\":\"nginx\"}"}]"#,
        &[],
    ),
    target(
        "guest_virtualbox",
        "guests",
        "/home/ana/VirtualBox VMs/xp/xp.vbox",
        b"<VirtualBox><Machine uuid=\"{2f3b}\" name=\"xp\" OSType=\"WindowsXP\"><Har\
dware><CPU count=\"2\"/><Memory RAMSize=\"512\"/></Hardware></Machine></Vi\
rtualBox>",
        &[],
    ),
    seeded(
        target(
            "hosts",
            "identity",
            "/etc/hosts",
            b"127.0.0.1\tlocalhost\n127.0.1.1\tpc-03.min.example\tpc-03\n",
            &[("/proc/sys/kernel/hostname", "pc-03\n")],
        ),
        &["/etc/hosts"],
    ),
    target(
        "init_script",
        "services",
        "/etc/init.d/x",
        b"#!/bin/sh\n### BEGIN INIT INFO\n# Provides: x\n# Short-Description: An old \
one\n### END INIT INFO\n",
        &[],
    ),
    target(
        "lease_dhclient",
        "network",
        "/var/lib/dhcp/dhclient.leases",
        b"lease {\n  interface \"eth0\";\n  fixed-address 2001:db8::5;\n  option dhc\
p-server-identifier 10.0.0.1;\n}\n",
        INTERFACE,
    ),
    target(
        "lease_networkd",
        "network",
        "/run/systemd/netif/leases/2",
        b"ADDRESS=2001:db8::5\nSERVER_ADDRESS=10.1.2.1\n",
        INTERFACE,
    ),
    seeded(
        target(
            "mountinfo",
            "disks",
            "/proc/self/mountinfo",
            b"25 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
26 25 0:40 / /srv\\040x rw - nfs4 nas:/x rw\n",
            &[],
        ),
        &["/proc/self/mountinfo"],
    ),
    seeded(
        target(
            "net_fib_trie",
            "network",
            "/proc/net/fib_trie",
            b"Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 10.0.0.5\n        /32 host LOCAL\n",
            &[
                ("/sys/class/net/eth0/type", "1\n"),
                (
                    "/proc/net/route",
                    "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\
\tIRTT\neth0\t0000000A\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n",
                ),
            ],
        ),
        &["/proc/net/fib_trie"],
    ),
    seeded(
        target(
            "net_if_inet6",
            "network",
            "/proc/net/if_inet6",
            b"20010db8000000000000000000000005 02 40 00 80 eth0\n",
            &[("/sys/class/net/eth0/type", "1\n")],
        ),
        &["/proc/net/if_inet6"],
    ),
    seeded(
        target(
            "net_route",
            "network",
            "/proc/net/route",
            b"Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\
\tIRTT\neth0\t00000000\t0100000A\t0003\t0\t0\t100\t00000000\t0\t0\t0\n",
            INTERFACE,
        ),
        &["/proc/net/route"],
    ),
    seeded(
        target(
            "net_route6",
            "network",
            "/proc/net/ipv6_route",
            b"00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe\
800000000000000000000000000001 00000064 00000001 00000000 00000003 eth0\n",
            INTERFACE,
        ),
        &["/proc/net/ipv6_route"],
    ),
    seeded(
        target(
            "os_release",
            "operating_system",
            "/etc/os-release",
            b"ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\
\"\n",
            &[],
        ),
        &["/os-release"],
    ),
    seeded(
        target(
            "passwd",
            "accounts",
            PASSWD.0,
            b"root:x:0:0:root:/root:/bin/bash\nana:x:1000:1000:Ana,,,:/home/ana:/bin/bas\
h\n",
            &[],
        ),
        &["/etc/passwd"],
    ),
    target(
        "remote_anydesk",
        "guests",
        "/etc/anydesk/system.conf",
        b"ad.anynet.id=123456789\nad.anynet.pwd_hash=x\n",
        &[],
    ),
    target(
        "remote_teamviewer",
        "guests",
        "/etc/teamviewer/global.conf",
        b"[int32] ClientID = 1234567890\n",
        &[("/opt/teamviewer/tv_bin/x", "")],
    ),
    seeded(
        target(
            "resolv_conf",
            "network",
            "/etc/resolv.conf",
            b"search min.example\nnameserver 10.20.0.2\nnameserver fe80::1%eth0\n",
            &[],
        ),
        &["/resolv.conf"],
    ),
    target(
        "selinux",
        "security",
        "/etc/selinux/config",
        b"SELINUX=enforcing\nSELINUXTYPE=targeted\n",
        &[],
    ),
    target(
        "session",
        "accounts",
        "/run/systemd/sessions/3",
        b"UID=1000\nUSER=ana\nSTATE=active\nCLASS=user\nSEAT=seat0\n\
REALTIME=1700000000000000\n",
        &[PASSWD],
    ),
    target(
        "shadow",
        "accounts",
        "/etc/shadow",
        b"root:!:19000:0:99999:7:::\nana:$y$x:19000:0:99999:7:::\n",
        &[PASSWD],
    ),
    seeded(
        target(
            "ssh_host_key",
            "operating_system",
            "/etc/ssh/ssh_host_ed25519_key.pub",
            b"",
            &[],
        ),
        &["/ssh_host_ed25519_key.pub"],
    ),
    seeded(
        target(
            "udev_block",
            "disks",
            "/run/udev/data/b8:0",
            b"S:disk/by-id/ata-x\nE:ID_SERIAL_SHORT=Z3T\\x20A1\nE:ID_MODEL=ST500DM002\n\
E:ID_BUS=ata\nE:ID_ATA_ROTATION_RATE_RPM=7200\n",
            &[
                ("/sys/block/sda/dev", "8:0\n"),
                ("/sys/block/sda/size", "976773168\n"),
                ("/sys/block/sda/device/model", "ST500DM002\n"),
            ],
        ),
        &["/run/udev/data/b8:0"],
    ),
    target(
        "unit_service",
        "services",
        "/etc/systemd/system/x.service",
        b"[Unit]\nDescription=X\n[Service]\nExecStart=-/usr/sbin/x \\\n  --flag\n\
User=x\n[Install]\nWantedBy=multi-user.target\n",
        &[],
    ),
    target(
        "unit_timer",
        "services",
        "/etc/systemd/system/x.timer",
        b"[Unit]\nDescription=X\n[Timer]\nOnCalendar=daily\nOnBootSec=5min\n\
Unit=x.service\n",
        &[],
    ),
    seeded(
        target("utmp", "accounts", "/run/utmp", b"", &[PASSWD]),
        &["/utmp"],
    ),
    target(
        "wifi_netplan",
        "network",
        "/etc/netplan/01.yaml",
        b"network:\n  wifis:\n    wlan0:\n      access-points:\n        \"Sala 1\":\n          \
password: s3cr3t\n        libre: {}\n",
        &[],
    ),
    target(
        "wifi_networkmanager",
        "network",
        "/etc/NetworkManager/system-connections/a.nmconnection",
        b"[connection]\nid=x\n[wifi]\nssid=67;97;102;195;169;\n\
[wifi-security]\nkey-mgmt=wpa-psk\npsk=s3cr3t\n",
        &[],
    ),
    target(
        "wifi_supplicant",
        "network",
        "/etc/wpa_supplicant/w.conf",
        b"network={\n ssid=\"A\"\n psk=\"s3cr3t\"\n}\nnetwork = {\n ssid=c3b1\n key_\
mgmt=WPA-EAP\n}\n",
        &[],
    ),
    seeded(
        target("wtmp", "accounts", "/var/log/wtmp", b"", &[PASSWD]),
        &["/utmp"],
    ),
];
