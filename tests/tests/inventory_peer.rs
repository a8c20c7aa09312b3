//! The peer: Debian's FusionInventory agent and ours describe this machine in one run, and captured machines that are put in
//! place of this one's files. Whatever the peer sees and we do not, or see otherwise, has its reason in a table here, and
//! so has what we alone see.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod inventory_peer_rules;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use chasqui_agent::inventory::archive;
use chasqui_server::glpi::{self, Action};
use chasqui_tests::peer::{Items, items, judge, judge_missing};
use chasqui_tests::programs;
use inventory_peer_rules::{ALIASES, ONLY_OURS, ONLY_THEIRS};
use serde_json::{Map, Value};

const PEER: &str = "fusioninventory-inventory";

/// Sections whose every source is a file that captured machines have. Others the peer asks of programs and of the kernel.
const IN_FILES: &[&str] = &[
    "batteries",
    "bios",
    "controllers",
    "cpus",
    "memories",
    "monitors",
    "ports",
    "slots",
    "sounds",
    "storages",
];

/// Captured machines, with the sections that are compared: `debian-debootstrap` has what the real dpkg wrote, the others a
/// database written by hand that dpkg itself refuses. What was captured as an ordinary user is left out: the peer is root.
const CAPTURED: &[(&str, &[&str])] = &[
    ("debian-debootstrap", &["softwares"]),
    ("dell-latitude-5440", IN_FILES),
    ("fedora-raid", IN_FILES),
    ("hp-compaq-6300", IN_FILES),
    ("qemu-placeholders", IN_FILES),
];

fn ran(what: &str, output: Output) -> Vec<u8> {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: {said}");
    output.stdout
}

fn run(mut command: Command) -> Vec<u8> {
    let what = format!("{command:?}");
    let output = command.env("LC_ALL", "C").output();
    ran(
        &what,
        output.unwrap_or_else(|cause| {
            panic!("{what}: {cause}: install the package fusioninventory-agent")
        }),
    )
}

/// The peer's XML as the content of the official format. Nothing may be lost on the way.
fn theirs(xml: &[u8]) -> Map<String, Value> {
    let Action::Inventory(inventory) = glpi::decode(xml).unwrap().action else {
        panic!("no inventory");
    };
    let text = String::from_utf8_lossy(xml);
    for (section, value) in &inventory.content {
        // The peer indents by two blanks: its sections stand at four.
        let name = match section.as_str() {
            "firewalls" => "FIREWALL".to_owned(),
            other => other.to_uppercase(),
        };
        let tag = format!("\n    <{name}");
        let written = text
            .match_indices(&tag)
            .filter(|(at, _)| text[at + tag.len()..].starts_with(['>', ' ', '/']))
            .count();
        let read = value.as_array().map_or(1, Vec::len);
        assert_eq!(written, read, "{section}");
    }
    inventory.content
}

fn ours(json: &[u8]) -> Map<String, Value> {
    let message: Value = serde_json::from_slice(json).unwrap();
    message["content"].as_object().unwrap().clone()
}

fn agent(arguments: &[&str]) -> Command {
    let mut command = programs::command("chasqui-agent").unwrap();
    command
        .args(["inventory", "--format", "glpi"])
        .args(arguments);
    command
}

/// Both directions, told in full; answers what has no reason.
fn compare(title: &str, theirs: &Items, ours: &Items, whole: bool) -> Vec<String> {
    let peer = judge(theirs, ours, ONLY_THEIRS, whole);
    let own = judge_missing(ours, theirs, ONLY_OURS, false);
    let mut wrong = Vec::new();
    for (judged, who) in [(peer, "the peer alone, or otherwise"), (own, "we alone")] {
        let report = judged.report(&format!("{title}: {who}"));
        println!("{report}");
        if !judged.holds() {
            wrong.push(report);
        }
    }
    wrong
}

#[test]
fn what_only_one_of_both_sees_on_this_machine_has_its_reason() {
    let (xml, json) = (run(Command::new(PEER)), run(agent(&[])));
    let theirs = items(&theirs(&xml), ALIASES);
    let ours = items(&ours(&json), &[]);
    for (name, items) in [("the peer", &theirs), ("we", &ours)] {
        let programs = items.keys().filter(|(section, _)| section == "softwares");
        assert!(programs.count() > 50, "{name}");
    }
    let wrong = compare("this machine", &theirs, &ours, true);
    assert!(wrong.is_empty(), "{}", wrong.concat());
}

/// Whether this process may put a captured machine's files in place of this one's, in a view of its own.
fn may_mount() -> bool {
    rustix::process::geteuid().is_root()
        && Command::new("unshare")
            .args(["-m", "mount", "--bind", "/sys", "/sys"])
            .status()
            .is_ok_and(|status| status.success())
}

#[test]
fn what_only_one_of_both_sees_on_captured_machines_has_its_reason() {
    if !may_mount() {
        eprintln!(
            "SKIPPED: the peer reads captured machines only where files may be put in place of others (as root)"
        );
        return;
    }
    let mut wrong = Vec::new();
    for (name, sections) in CAPTURED {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let archive = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join(format!("../agent/tests/captures/{name}.capture"));
        archive::unpack(&fs::read_to_string(archive).unwrap(), root).unwrap();
        complete(root);
        let xml = run(peer_within(root));
        let json = run(agent(&["--root", root.to_str().unwrap()]));
        let (mut theirs, mut ours) = (theirs(&xml), ours(&json));
        for content in [&mut theirs, &mut ours] {
            content.retain(|section, _| sections.contains(&section.as_str()));
            // It alone is no file's: whether the firmware checks signatures.
            if let Some(bios) = content.get_mut("bios").and_then(Value::as_object_mut) {
                bios.remove("secure_boot");
            }
        }
        assert!(
            theirs.contains_key(sections[0]) || theirs.contains_key("cpus"),
            "{name}"
        );
        let (theirs, ours) = (items(&theirs, ALIASES), items(&ours, &[]));
        wrong.extend(compare(name, &theirs, &ours, false));
    }
    assert!(wrong.is_empty(), "{}", wrong.concat());
}

/// The peer, with the captured machine's files in place of this one's.
fn peer_within(root: &Path) -> Command {
    let script = r#"
        set -e
        root=$1
        for path in sys var/lib/dpkg usr/share/misc/pci.ids proc/cpuinfo; do
            if [ -e "$root/$path" ] && [ -e "/$path" ]; then mount --bind "$root/$path" "/$path"; fi
        done
        exec "$2" --no-category environment,process
    "#;
    let mut command = Command::new("unshare");
    command
        .args(["-m", "sh", "-c", script, "sh"])
        .args([root.as_os_str(), PEER.as_ref()]);
    command
}

/// Adds what the peer's programs ask for and the kernel would give: the sums of the firmware's entry point (dmidecode), and
/// the configuration of PCI devices (lspci), made of what the capture says of them.
fn complete(root: &Path) {
    // Both read one list of names, the machine's own; where it has none, none.
    let (here, there) = (
        root.join("usr/share/misc/pci.ids"),
        root.join("usr/share/hwdata/pci.ids"),
    );
    if !here.exists() {
        fs::create_dir_all(here.parent().unwrap()).unwrap();
        fs::write(&here, fs::read(there).unwrap_or_default()).unwrap();
    }
    if root.join("var/lib/dpkg/status").exists() {
        fs::create_dir_all(root.join("var/lib/dpkg/updates")).unwrap();
        fs::create_dir_all(root.join("var/lib/dpkg/info")).unwrap();
    }
    let tables = root.join("sys/firmware/dmi/tables");
    if let (Ok(table), Ok(mut entry)) = (
        fs::read(tables.join("DMI")),
        fs::read(tables.join("smbios_entry_point")),
    ) {
        seal(&mut entry, &table);
        fs::write(tables.join("smbios_entry_point"), entry).unwrap();
    }
    let devices = root.join("sys/bus/pci/devices");
    for entry in fs::read_dir(devices).into_iter().flatten() {
        let folder = entry.unwrap().path();
        let word = |name: &str| {
            let text = fs::read_to_string(folder.join(name)).unwrap_or_default();
            u32::from_str_radix(text.trim().trim_start_matches("0x"), 16).unwrap_or_default()
        };
        let mut config = vec![0_u8; 64];
        let mut put = |at: usize, bytes: &[u8]| config[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &word("vendor").to_le_bytes()[..2]);
        put(2, &word("device").to_le_bytes()[..2]);
        put(8, &[u8::try_from(word("revision")).unwrap()]);
        put(9, &word("class").to_le_bytes()[..3]);
        put(0x2c, &word("subsystem_vendor").to_le_bytes()[..2]);
        put(0x2e, &word("subsystem_device").to_le_bytes()[..2]);
        fs::write(folder.join("config"), config).unwrap();
        fs::write(folder.join("irq"), "0\n").unwrap();
        if !folder.join("resource").exists() {
            let none = "0x0000000000000000 0x0000000000000000 0x0000000000000000\n";
            fs::write(folder.join("resource"), none.repeat(7)).unwrap();
        }
    }
}

/// Lengths and sums of an entry point, as SMBIOS 3.4 (5.2.1 and 5.2.2) has them.
fn seal(entry: &mut [u8], table: &[u8]) {
    let sum = |entry: &mut [u8], from: usize, to: usize, at: usize| {
        entry[at] = 0;
        let all = entry[from..to]
            .iter()
            .fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
        entry[at] = all.wrapping_neg();
    };
    if entry.starts_with(b"_SM3_") {
        entry[0x0a] = 1;
        entry[0x0c..0x10].copy_from_slice(&u32::try_from(table.len()).unwrap().to_le_bytes());
        sum(entry, 0, 0x18, 5);
        return;
    }
    let (mut count, mut at) = (0_u16, 0);
    while at + 4 <= table.len() {
        count += 1;
        at += usize::from(table[at + 1]);
        at += table[at..]
            .windows(2)
            .position(|two| two == [0, 0])
            .unwrap()
            + 2;
    }
    entry[0x10..0x15].copy_from_slice(b"_DMI_");
    entry[0x16..0x18].copy_from_slice(&u16::try_from(table.len()).unwrap().to_le_bytes());
    entry[0x1c..0x1e].copy_from_slice(&count.to_le_bytes());
    entry[0x1e] = 0x27;
    sum(entry, 0x10, 0x1f, 0x15);
    sum(entry, 0, 0x1f, 4);
}
