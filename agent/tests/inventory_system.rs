//! What the system's own settings tell: accounts, printers, what guards the machine, what waits to be installed, what starts
//! by itself. And what must never be told: passwords, and names where a setting leaves them out.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod inventory_support;

use std::collections::BTreeMap;
use std::io::Write as _;

use chasqui_agent::inventory::{self, Inventory, Source};
use chasqui_base::text::Lang;
use chasqui_proto::v1::{self, SectionKind, UnreadReason};
use inventory_support::{self as support, Machine, reason};
use prost::Message as _;

const UBUNTU: &str = "dell-latitude-5440";
const LISTS: &str = "/var/lib/apt/lists";

fn everything(inventory: &Inventory) -> String {
    let json = inventory::render_json(inventory).to_string();
    json + &inventory::render_text(inventory, Lang::Es)
}

#[test]
fn no_password_of_any_file_is_in_the_inventory() {
    let machine = Machine::new(UBUNTU);
    let told = everything(&machine.collect());
    for secret in [
        "s3cr3to", "secreta", "secretb", "secretc", "pwd_hash", "--clave",
    ] {
        assert!(!told.contains(secret), "{secret}");
    }
    // Nor in what is said of files that make no sense.
    for path in [
        "/etc/shadow",
        "/etc/cups/printers.conf",
        "/etc/NetworkManager/system-connections/Oficina.nmconnection",
        "/etc/sssd/sssd.conf",
        "/var/spool/cron/crontabs/ana.gomez",
    ] {
        machine.write(path, "s3cr3to s3cr3to\n\ns3cr3to=s3cr3to\n:s3cr3to:\n");
        let told = everything(&machine.collect());
        assert!(!told.contains("s3cr3to:"), "{path}");
    }
}

#[test]
fn names_left_out_are_nowhere() {
    let machine = Machine::new(UBUNTU);
    let named = everything(&machine.collect());
    let source = machine.source().without_names();
    let inventory = inventory::collect(&source, support::OBSERVED_AT_MS);
    let told = everything(&inventory);
    for name in ["ana.gomez", "Ana Gómez", "Oficina 302", "soporte", "baja"] {
        assert!(named.contains(name) || name == "Oficina 302", "{name}");
        assert!(!told.contains(name), "{name}");
    }
    let accounts = support::accounts(&inventory);
    assert_eq!(accounts.names_left_out, Some(true));
    assert_eq!(accounts.accounts.len(), 7);
    assert_eq!(inventory.volatile.logged_in.len(), 1);
    assert_eq!(inventory.volatile.logged_in[0].login, "");
}

#[test]
fn who_may_log_in_and_who_may_become_root() {
    let inventory = Machine::new(UBUNTU).collect();
    let facts = support::accounts(&inventory);
    let rights: BTreeMap<_, _> = facts
        .accounts
        .iter()
        .map(|one| (one.login.as_str(), (one.can_log_in, one.administrator)))
        .collect();
    let (yes, no) = (Some(true), Some(false));
    assert_eq!(rights["root"], (no, yes));
    assert_eq!(rights["daemon"], (no, no));
    assert_eq!(rights["soporte"], (yes, yes));
    assert_eq!(rights["ana.gomez"], (yes, no));
    assert_eq!(rights["baja"], (no, no));
    let session = &inventory.volatile.logged_in[0];
    assert_eq!(session.login, "ana.gomez");
    assert_eq!(session.since_ms, Some(1_719_400_000_123));
}

#[test]
fn without_root_a_lock_is_unknown_and_not_open() {
    let inventory = Machine::new("lenovo-without-root").collect();
    let facts = support::accounts(&inventory);
    assert!(facts.accounts.iter().all(|one| one.can_log_in.is_none()));
    let permission = Some(UnreadReason::Permission);
    assert_eq!(
        reason(&inventory, "accounts.accounts.can_log_in"),
        permission
    );
    assert_eq!(reason(&inventory, "printers.printers"), permission);
    assert_eq!(reason(&inventory, "directory.joined"), permission);
    assert_eq!(support::directory(&inventory).joined, None);
}

#[test]
fn printers_as_they_are_set_up() {
    let machine = Machine::new(UBUNTU);
    let before = machine.collect();
    let facts = support::printers(&before);
    assert_eq!(facts.default_printer.as_deref(), Some("Piso3"));
    let [labels, floor] = facts.printers.as_slice() else {
        panic!("{facts:?}")
    };
    assert_eq!(labels.serial.as_deref(), Some("29J161700123"));
    assert_eq!(
        (labels.state.as_deref(), labels.accepting),
        (Some("stopped"), Some(false))
    );
    let uri = "ipp://impresion@imp-p3.ministerio.example/ipp/print";
    assert_eq!(floor.uri.as_deref(), Some(uri));
    assert_eq!((floor.network, floor.shared), (Some(true), Some(false)));
    // A page that prints is no change of the machine.
    let path = "/etc/cups/printers.conf";
    let text = std::fs::read_to_string(machine.path(path)).unwrap();
    machine.write(
        path,
        text.replace(
            "State Idle\nStateTime 17194",
            "State Processing\nStateTime 17195",
        ),
    );
    let after = machine.collect();
    for (a, b) in before.sections.iter().zip(&after.sections) {
        assert_eq!(a.digest, b.digest, "{:?}", a.kind());
    }
}

#[test]
fn what_guards_the_machine() {
    let ubuntu = Machine::new(UBUNTU).collect();
    let facts = support::security(&ubuntu);
    let clam = &facts.antivirus[0];
    assert_eq!((clam.name.as_str(), clam.enabled), ("ClamAV", Some(true)));
    assert_eq!(clam.definitions_date.as_deref(), Some("2024-09-16"));
    assert_eq!(clam.definitions_version.as_deref(), Some("27400"));
    let wall = &facts.firewalls[0];
    assert_eq!((wall.name.as_str(), wall.enabled), ("ufw", Some(true)));
    assert_eq!(wall.inbound.as_deref(), Some("deny"));
    let fedora = support::security(&Machine::new("fedora-raid").collect());
    assert_eq!(fedora.firewalls[0].inbound.as_deref(), Some("reject"));
    assert_eq!(fedora.firewalls[0].enabled, Some(true));
    let modes: Vec<_> = fedora
        .access_control
        .iter()
        .map(|one| one.mode.as_deref())
        .collect();
    assert_eq!(modes, [Some("enforcing")]);
}

#[test]
fn pending_updates_are_those_of_the_fetched_lists() {
    let machine = Machine::new(UBUNTU);
    let inventory = machine.collect();
    let facts = support::updates(&inventory);
    assert_eq!(facts.pending.len(), 1, "{:?}", facts.pending);
    let update = &facts.pending[0];
    assert_eq!(
        (update.name.as_str(), update.security),
        ("libc6", Some(true))
    );
    assert_eq!(update.available_version, "2.39-0ubuntu8.6");
    assert_eq!(facts.lists_date.as_deref(), Some("2024-06-26"));
    assert_eq!(
        (facts.automatic, facts.reboot_pending),
        (Some(true), Some(true))
    );
    assert_eq!(facts.reboot_reasons, ["libc6", "linux-image-generic"]);
    assert_eq!(reason(&inventory, "updates.pending.pins"), None);
    machine.write(
        "/etc/apt/preferences.d/propia",
        "Package: *\nPin: release a=x\nPin-Priority: 900\n",
    );
    let pinned = machine.collect();
    assert_eq!(
        reason(&pinned, "updates.pending.pins"),
        Some(UnreadReason::Malformed)
    );
}

/// The answer for unchanged lists comes from the agent's folder, and any touched file makes it anew.
#[test]
fn pending_updates_are_worked_out_anew_when_their_files_were_touched() {
    let machine = Machine::new(UBUNTU);
    let memory = tempfile::tempdir().unwrap();
    let kept = memory.path().join("pending-updates");
    let source = || machine.source().with_memory(memory.path());
    let collect = || inventory::collect(&source(), support::OBSERVED_AT_MS);
    let sections = |inventory: &Inventory| inventory.section(SectionKind::Updates).unwrap().clone();
    let fresh = collect();
    assert_eq!(sections(&fresh), sections(&machine.collect()));
    // Of files that were touched just now nothing is kept: their times may not move on the next touch.
    std::thread::sleep(std::time::Duration::from_millis(2_100));
    assert_eq!(sections(&collect()), sections(&fresh));
    let answer = std::fs::read(&kept).unwrap();

    // An answer of these very files is taken as it is: this one says that there is nothing.
    let mut forged = v1::Section::decode(&*answer).unwrap();
    let mut facts = v1::SectionFacts::decode(forged.facts.clone()).unwrap();
    facts.facts = Some(v1::section_facts::Facts::Updates(
        v1::UpdatesFacts::default(),
    ));
    forged.facts = facts.encode_to_vec().into();
    std::fs::write(&kept, forged.encode_to_vec()).unwrap();
    let recalled = collect();
    assert_eq!(support::updates(&recalled).pending, []);
    let provenance = sections(&recalled).provenance;
    let pending = provenance
        .iter()
        .find(|one| one.group == "updates.pending" || one.group == "pending")
        .unwrap();
    assert!(pending.source.contains("unchanged since"), "{pending:?}");

    // A touched file, a new one, a file less: each is read anew.
    let name = format!(
        "{LISTS}/{}",
        "security.ubuntu.com_ubuntu_dists_noble-security_main_binary-amd64_Packages"
    );
    let text = std::fs::read(machine.path(&name)).unwrap();
    machine.write(&name, &text);
    assert_eq!(support::updates(&collect()).pending.len(), 1);
    std::fs::write(&kept, forged.encode_to_vec()).unwrap();
    machine.write(
        "/etc/apt/preferences.d/propia",
        "Package: x\nPin: release a=x\nPin-Priority: 900\n",
    );
    let pinned = collect();
    assert_eq!(support::updates(&pinned).pending.len(), 1);
    assert_eq!(
        reason(&pinned, "updates.pending.pins"),
        Some(UnreadReason::Malformed)
    );
    std::fs::write(&kept, "not an answer").unwrap();
    assert_eq!(support::updates(&collect()).pending.len(), 1);
}

#[test]
fn sections_that_are_left_out_are_not_in_the_inventory() {
    let machine = Machine::new(UBUNTU);
    let left_out = [SectionKind::Updates, SectionKind::Network];
    let source = machine.source().without_sections(&left_out);
    let some = inventory::collect(&source, support::OBSERVED_AT_MS);
    let mut rest = machine.collect().sections;
    rest.retain(|section| !left_out.contains(&section.kind()));
    assert_eq!(some.sections, rest);
}

#[test]
fn compressed_lists_give_the_same_updates() {
    let machine = Machine::new(UBUNTU);
    let plain = support::updates(&machine.collect()).pending;
    let name = format!(
        "{LISTS}/security.ubuntu.com_ubuntu_dists_noble-security_main_binary-amd64_Packages"
    );
    let text = std::fs::read(machine.path(&name)).unwrap();
    std::fs::remove_file(machine.path(&name)).unwrap();
    let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
    lz4.write_all(&text).unwrap();
    let lz4 = lz4.finish().unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&text).unwrap();
    let gzip = gzip.finish().unwrap();
    for (form, bytes) in [("lz4", lz4), ("gz", gzip)] {
        let path = format!("{name}.{form}");
        machine.write(&path, &bytes);
        assert_eq!(
            support::updates(&machine.collect()).pending,
            plain,
            "{form}"
        );
        for cut in 1..bytes.len() {
            machine.write(&path, &bytes[..cut]);
            let told = inventory::linux::COLLECTORS
                .iter()
                .find(|one| one.kind() == chasqui_proto::v1::SectionKind::Updates)
                .unwrap()
                .collect(&machine.source());
            let said = format!("{:?}", told.notes);
            assert!(said.contains("updates.pending\""), "{form} {cut}");
        }
        std::fs::remove_file(machine.path(&path)).unwrap();
    }
    machine.write(&format!("{name}.xz"), b"\xfd7zXZ");
    let inventory = machine.collect();
    assert_eq!(
        reason(&inventory, "updates.pending"),
        Some(UnreadReason::Malformed)
    );
}

#[test]
fn what_starts_by_itself() {
    let facts = support::services(&Machine::new(UBUNTU).collect());
    let starts: BTreeMap<_, _> = facts
        .services
        .iter()
        .map(|one| (one.name.as_str(), one.start.as_deref().unwrap()))
        .collect();
    for (name, start) in [
        ("apport.service", "masked"),
        ("clamav-daemon.service", "enabled"),
        ("fstrim.service", "static"),
        ("gdm.service", "enabled"),
        ("getty@tty1.service", "enabled"),
        ("ssh.service", "disabled"),
    ] {
        assert_eq!(starts.get(name), Some(&start), "{name}: {starts:?}");
    }
    assert_eq!(
        facts.startup[0].program.as_deref(),
        Some("/opt/nube/cliente")
    );
    let timers: Vec<_> = facts
        .timers
        .iter()
        .map(|one| (one.name.as_str(), one.schedule.join(";")))
        .collect();
    assert_eq!(
        timers,
        [
            ("ana.gomez", "0 8 * * 1-5".to_owned()),
            ("crontab", "17 * * * *".to_owned()),
            ("fstrim.timer", "OnCalendar=weekly".to_owned())
        ]
    );
}

#[test]
fn membership_certificates_guests_and_remote_tools() {
    let ubuntu = Machine::new(UBUNTU).collect();
    let directory = support::directory(&ubuntu);
    assert_eq!(directory.joined, Some(true));
    assert_eq!(directory.r#type.as_deref(), Some("active_directory"));
    assert_eq!(directory.servers, ["dc1.ministerio.example"]);
    let certificates = support::certificates(&ubuntu).certificates;
    assert_eq!(certificates.len(), 1);
    assert_eq!(certificates[0].names, ["dt-0042.ministerio.example"]);
    let guests = support::guests(&ubuntu);
    assert_eq!(guests.guests[0].image.as_deref(), Some("visor:3.2"));
    assert_eq!(guests.remote_tools[0].id.as_deref(), Some("123456789"));
    let fedora = support::guests(&Machine::new("fedora-raid").collect());
    assert_eq!(fedora.guests[0].memory_bytes, Some(4 << 30));
    // Half a file is not a machine without a domain.
    let machine = Machine::new(UBUNTU);
    machine.write(
        "/etc/sssd/sssd.conf",
        "[sssd]\ndomains = ministerio.example\n[domain/min",
    );
    let cut = machine.collect();
    assert_eq!(support::directory(&cut).joined, None);
    assert_eq!(
        reason(&cut, "directory.joined"),
        Some(UnreadReason::Malformed)
    );
    std::fs::remove_file(machine.path("/etc/sssd/sssd.conf")).unwrap();
    assert_eq!(support::directory(&machine.collect()).joined, Some(false));
}

#[test]
fn the_network_beyond_its_interfaces() {
    let machine = Machine::new(UBUNTU);
    let before = machine.collect();
    let facts = support::network(&before);
    assert_eq!(facts.search_domains, ["alcaldia.example"]);
    assert_eq!(facts.wifi_networks[0].ssid, "MinOficina");
    assert_eq!(facts.wifi_networks[0].security.as_deref(), Some("wpa_psk"));
    assert!(
        facts
            .routes
            .iter()
            .any(|route| route.destination == "0.0.0.0/0")
    );
    let wifi = facts
        .interfaces
        .iter()
        .find(|one| one.r#type.as_deref() == Some("wifi"))
        .unwrap();
    assert_eq!(wifi.r#virtual, Some(false));
    assert!(wifi.pci_slot.is_some());
    // A lease is renewed: a fact of its server, and none of its times.
    let leased = facts
        .interfaces
        .iter()
        .find(|one| {
            one.addresses
                .iter()
                .any(|a| a.contains('.') && !a.starts_with("127."))
        })
        .unwrap();
    let address = leased.addresses.iter().find(|a| a.contains('.')).unwrap();
    let address = address.split('/').next().unwrap();
    let lease = format!("/var/lib/NetworkManager/internal-1-{}.lease", leased.name);
    let text = |time: u32| format!("ADDRESS={address}\nSERVER_ADDRESS=10.9.9.9\nT1={time}\n");
    machine.write(&lease, text(1));
    let first = machine.collect();
    let own = |inventory: &Inventory| {
        let all = support::network(inventory).interfaces;
        all.into_iter().find(|one| one.name == leased.name).unwrap()
    };
    assert_eq!(own(&first).dhcp, Some(true));
    assert_eq!(own(&first).dhcp_server.as_deref(), Some("10.9.9.9"));
    machine.write(&lease, text(7_200));
    let later = machine.collect();
    for (a, b) in first.sections.iter().zip(&later.sections) {
        assert_eq!(a.digest, b.digest, "{:?}", a.kind());
    }
    assert_eq!(own(&before).dhcp, None);
}

#[test]
fn settings_of_the_operating_system() {
    let facts = support::operating_system(&Machine::new(UBUNTU).collect());
    assert_eq!(facts.time_zone.as_deref(), Some("America/Bogota"));
    assert_eq!(facts.locale.as_deref(), Some("es_CO.UTF-8"));
    assert_eq!(facts.desktops, ["gnome"]);
    let key = "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU";
    assert_eq!(facts.ssh_host_key.as_deref(), Some(key));
}

#[test]
fn a_long_list_of_accounts_is_cut_and_said_to_be() {
    let machine = Machine::empty();
    let passwd: String = (0..6_000)
        .map(|n| format!("u{n}:x:{n}:{n}::/home/u{n}:/bin/sh\n"))
        .collect();
    machine.write("/etc/passwd", passwd);
    let inventory = machine.collect();
    assert_eq!(support::accounts(&inventory).accounts.len(), 5_000);
    assert_eq!(
        reason(&inventory, "accounts.accounts"),
        Some(UnreadReason::TooLarge)
    );
}

#[test]
#[ignore = "prints what comparing apt's lists of this machine costs, for people"]
fn cost_of_pending_updates() {
    let spent = || {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        time.tv_sec * 1_000_000 + time.tv_nsec / 1_000
    };
    for collector in inventory::linux::COLLECTORS {
        let start = spent();
        let seen = collector.collect(&Source::live());
        println!(
            "{:?}: {} us, {} bytes",
            collector.kind(),
            spent() - start,
            chasqui_proto::v1::SectionFacts {
                facts: Some(seen.facts),
                unread: vec![]
            }
            .encoded_len()
        );
    }
}
