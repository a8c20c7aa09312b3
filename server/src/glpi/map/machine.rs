//! The machine as a whole: identity, maker and model, operating system, programs, accounts, guests, and what changes by
//! itself.

use std::collections::BTreeMap;

use chasqui_proto::v1::{self, SectionKind, UnreadReason, section_facts::Facts};
use jiff::civil::Date;
use serde_json::{Map, Value};

use super::super::values::{self, Item};
use super::{MAX_ITEMS, Maker, Notes};

/// Most programs of the software section.
const MAX_SOFTWARE: usize = 20_000;

pub(super) fn map(maker: &mut Maker<'_>) {
    identity(maker);
    hardware(maker);
    operating_system(maker);
    software(maker);
    accounts(maker);
    guests(maker);
    security(maker);
}

fn identity(maker: &mut Maker<'_>) {
    let mut notes = Notes::default();
    let mut it = match maker.before(SectionKind::Identity) {
        Some(Facts::Identity(it)) => it,
        _ => v1::IdentityFacts::default(),
    };
    if let Some(bios) = maker.object("bios") {
        it.system_serial = notes.serial("identity.system_serial", bios.text("ssn"));
        it.board_serial = notes.serial("identity.board_serial", bios.text("msn"));
        it.chassis_serial = notes.serial("identity.chassis_serial", bios.text("enclosureserial"));
        it.asset_tag = notes.serial("identity.asset_tag", bios.text("assettag"));
    }
    if let Some(hardware) = maker.object("hardware") {
        let uuid = hardware.text("uuid").map(|uuid| uuid.to_ascii_lowercase());
        it.smbios_uuid = notes.serial("identity.smbios_uuid", uuid);
        it.host_name = hardware.text("name");
        if it.domain_name.is_none() {
            it.domain_name = hardware.text("workgroup");
        }
    }
    if let Some(system) = maker.object("operatingsystem") {
        it.domain_name = system.text("dns_domain").or(it.domain_name);
    }
    let keys = [
        ("bios", "identity.system_serial"),
        ("hardware", "identity.host_name"),
    ];
    maker.add(&keys, Facts::Identity(it), notes);
}

fn hardware(maker: &mut Maker<'_>) {
    let mut it = match maker.before(SectionKind::Hardware) {
        Some(Facts::Hardware(it)) => it,
        _ => v1::HardwareFacts::default(),
    };
    if let Some(bios) = maker.object("bios") {
        it.manufacturer = bios.text("smanufacturer");
        it.model = bios.text("smodel");
        it.sku = bios.text("skunumber");
        it.board_manufacturer = bios.text("mmanufacturer");
        it.board_model = bios.text("mmodel");
        it.firmware_vendor = bios.text("bmanufacturer");
        it.firmware_version = bios.text("bversion");
        it.firmware_date = bios.day("bdate");
    }
    if let Some(hardware) = maker.object("hardware") {
        it.chassis_type = hardware.text("chassis_type").map(|text| named(&text));
        it.virtualization = hardware
            .text("vmsystem")
            .map(|text| match named(&text).as_str() {
                "physical" => "none".to_owned(),
                other => other.to_owned(),
            });
    }
    let keys = [
        ("bios", "hardware.manufacturer"),
        ("hardware", "hardware.chassis_type"),
    ];
    maker.add(&keys, Facts::Hardware(it), Notes::default());
}

/// A value's name in our form: `Mini Tower` is `mini_tower`.
pub(super) fn named(text: &str) -> String {
    text.to_lowercase()
        .split(|c: char| !c.is_alphanumeric() && c != '.')
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join("_")
}

fn operating_system(maker: &mut Maker<'_>) {
    let mut it = v1::OperatingSystemFacts::default();
    if let Some(system) = maker.object("operatingsystem") {
        let name = system.text("name");
        let kernel_name = system
            .text("kernel_name")
            .unwrap_or_default()
            .to_lowercase();
        let windows = kernel_name.starts_with("mswin")
            || name
                .as_deref()
                .is_some_and(|name| name.starts_with("Microsoft"));
        it.family = if windows {
            Some("windows".to_owned())
        } else {
            (!kernel_name.is_empty()).then_some(kernel_name)
        };
        it.product = if windows {
            Some("windows".to_owned())
        } else {
            name.as_deref().map(product)
        };
        it.kernel = system.text("kernel_version");
        let version = system.text("version");
        it.version = if windows {
            it.kernel.clone()
        } else {
            version
                .as_deref()
                .and_then(|text| text.split(' ').next())
                .map(str::to_owned)
        };
        it.edition = version
            .as_deref()
            .and_then(|text| text.split_once('('))
            .and_then(|(_, text)| text.strip_suffix(')'))
            .map(str::to_owned);
        it.name = system.text("full_name").or(name);
        it.architecture = system.text("arch");
        it.installed_on = system.day("install_date");
        it.time_zone = system.object("timezone").and_then(|zone| zone.text("name"));
        it.ssh_host_key = system
            .whole_text("ssh_key")
            .and_then(|key| values::ssh_digest(&key));
    }
    maker.add(
        &[("operatingsystem", "operating_system")],
        Facts::OperatingSystem(it),
        Notes::default(),
    );
}

/// The identifier that os-release gives a system of this name.
fn product(name: &str) -> String {
    let name = named(name);
    for (begins, id) in [
        ("red_hat", "rhel"),
        ("rhel", "rhel"),
        ("opensuse_leap", "opensuse-leap"),
        ("opensuse_tumbleweed", "opensuse-tumbleweed"),
        ("opensuse", "opensuse"),
        ("suse", "sles"),
        ("linux_mint", "linuxmint"),
        ("linuxmint", "linuxmint"),
        ("oracle", "ol"),
        ("arch", "arch"),
    ] {
        if name.starts_with(begins) {
            return id.to_owned();
        }
    }
    name.split('_').next().unwrap_or_default().to_owned()
}

fn software(maker: &mut Maker<'_>) {
    let Some(items) = maker.list("softwares") else {
        return;
    };
    let mut notes = Notes::default();
    let mut found = Vec::with_capacity(items.len());
    for item in items {
        let Some(name) = item.any(&["name", "guid"]) else {
            continue;
        };
        let source = match item.text("from").as_deref() {
            Some("deb") => "dpkg".to_owned(),
            Some(other) => other.to_owned(),
            None => String::new(),
        };
        let day = item
            .day("install_date")
            .and_then(|day| day.parse::<Date>().ok())
            .and_then(|day| Date::constant(1970, 1, 1).until(day).ok())
            .map(|span| span.get_days());
        let one = v1::Software {
            name,
            version: item.text("version").unwrap_or_default(),
            architecture: item.text("arch"),
            source,
            publisher: item.text("publisher"),
            size_bytes: item.number("filesize").filter(|size| *size > 0),
            installed_at_ms: None,
            category: item
                .text("system_category")
                .filter(|text| text != "Unspecified"),
        };
        found.push((one, day));
    }
    let key = |one: &v1::Software| {
        (
            one.source.clone(),
            one.name.clone(),
            one.architecture.clone(),
            one.version.clone(),
        )
    };
    found.sort_by_cached_key(|(one, day)| (key(one), *day));
    found.dedup_by(|a, b| key(&a.0) == key(&b.0));
    let found = notes.bounded("software.items", found, MAX_SOFTWARE);
    let mut days: BTreeMap<i32, Vec<u32>> = BTreeMap::new();
    for (position, (_, day)) in found.iter().enumerate() {
        if let (Some(day), Ok(position)) = (day, u32::try_from(position)) {
            days.entry(*day).or_default().push(position);
        }
    }
    let items = found.into_iter().map(|(one, _)| one).collect();
    let facts = Facts::Software(v1::SoftwareFacts { items });
    let keys = [("softwares", "software")];
    let digest = maker.add(&keys, facts, notes);
    let days: Vec<v1::InstalledOn> = days
        .into_iter()
        .map(|(day, positions)| v1::InstalledOn {
            day,
            runs: runs(&positions),
        })
        .collect();
    let keys = [("softwares", "software_dates")];
    let facts = v1::SoftwareDatesFacts {
        software_digest: digest.into(),
        days,
    };
    maker.add(&keys, Facts::SoftwareDates(facts), Notes::default());
}

/// Rising positions as pairs: how many to skip since the end of the last run, how many follow.
fn runs(positions: &[u32]) -> Vec<u32> {
    let mut runs: Vec<u32> = Vec::new();
    let mut end = 0;
    for position in positions {
        match runs.last_mut() {
            Some(length) if *position == end => *length += 1,
            _ => runs.extend([position.saturating_sub(end), 1]),
        }
        end = position + 1;
    }
    runs
}

fn accounts(maker: &mut Maker<'_>) {
    let mut notes = Notes::default();
    let mut it = match maker.before(SectionKind::Accounts) {
        Some(Facts::Accounts(it)) => it,
        _ => v1::AccountsFacts::default(),
    };
    // Windows names accounts by a SID, whose last number is the account's on that machine.
    let id = |item: Item<'_>| {
        let text = item.text("id")?;
        let number = match text.strip_prefix("S-1-") {
            Some(sid) => sid.rsplit('-').next()?,
            None => &text,
        };
        number.parse::<u32>().ok()
    };
    if let Some(users) = maker.list("local_users") {
        let mut accounts: Vec<_> = users
            .into_iter()
            .filter_map(|item| {
                Some(v1::Account {
                    login: item.any(&["login", "name"]).unwrap_or_default(),
                    uid: id(item)?,
                    full_name: item.text("name"),
                    home: item.text("home"),
                    shell: item.text("shell"),
                    can_log_in: None,
                    administrator: None,
                })
            })
            .collect();
        accounts.sort_by(|a, b| (a.uid, &a.login).cmp(&(b.uid, &b.login)));
        it.accounts = notes.bounded("accounts.accounts", accounts, MAX_ITEMS);
    }
    if let Some(groups) = maker.list("local_groups") {
        let mut groups: Vec<_> = groups
            .into_iter()
            .filter_map(|item| {
                Some(v1::Group {
                    name: item.text("name").unwrap_or_default(),
                    gid: id(item)?,
                    members: values::texts(item, "members"),
                })
            })
            .collect();
        groups.sort_by(|a, b| (a.gid, &a.name).cmp(&(b.gid, &b.name)));
        it.groups = notes.bounded("accounts.groups", groups, MAX_ITEMS);
    }
    let keys = [
        ("local_users", "accounts.accounts"),
        ("local_groups", "accounts.groups"),
    ];
    maker.add(&keys, Facts::Accounts(it), notes);
}

fn guests(maker: &mut Maker<'_>) {
    let mut notes = Notes::default();
    let mut it = match maker.before(SectionKind::Guests) {
        Some(Facts::Guests(it)) => it,
        _ => v1::GuestsFacts::default(),
    };
    if let Some(machines) = maker.list("virtualmachines") {
        let mut guests: Vec<_> = machines
            .into_iter()
            .filter_map(|item| {
                Some(v1::Guest {
                    name: item.text("name")?,
                    r#type: item
                        .any(&["vmtype", "subsystem"])
                        .unwrap_or_default()
                        .to_lowercase(),
                    uuid: item.text("uuid"),
                    memory_bytes: item.mebibytes("memory"),
                    cpus: item.small("vcpu").filter(|count| *count > 0),
                    image: item.text("image"),
                })
            })
            .collect();
        guests.sort_by(|a, b| (&a.name, &a.uuid).cmp(&(&b.name, &b.uuid)));
        it.guests = notes.bounded("guests.guests", guests, MAX_ITEMS);
    }
    if let Some(tools) = maker.list("remote_mgmt") {
        let mut tools: Vec<_> = tools
            .into_iter()
            .filter_map(|item| {
                Some(v1::RemoteTool {
                    name: item.text("type")?,
                    id: item.text("id"),
                    version: item.text("version"),
                })
            })
            .collect();
        tools.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        it.remote_tools = notes.bounded("guests.remote_tools", tools, MAX_ITEMS);
    }
    let keys = [
        ("virtualmachines", "guests.guests"),
        ("remote_mgmt", "guests.remote_tools"),
    ];
    maker.add(&keys, Facts::Guests(it), notes);
}

fn security(maker: &mut Maker<'_>) {
    let mut notes = Notes::default();
    let mut it = match maker.before(SectionKind::Security) {
        Some(Facts::Security(it)) => it,
        _ => v1::SecurityFacts::default(),
    };
    if let Some(programs) = maker.list("antivirus") {
        let mut programs: Vec<_> = programs
            .into_iter()
            .filter_map(|item| {
                Some(v1::Antivirus {
                    name: item.any(&["name", "guid"])?,
                    publisher: item.text("company"),
                    version: item.text("version"),
                    enabled: item.flag("enabled"),
                    definitions_date: item.day("base_creation"),
                    definitions_version: item.text("base_version"),
                })
            })
            .collect();
        programs.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
        it.antivirus = notes.bounded("security.antivirus", programs, MAX_ITEMS);
    }
    if let Some(firewalls) = maker.list("firewalls") {
        let mut firewalls: Vec<_> = firewalls
            .into_iter()
            .map(|item| v1::Firewall {
                name: item.any(&["profile", "description"]).unwrap_or_default(),
                enabled: item.flag("status"),
                inbound: None,
            })
            .collect();
        firewalls.sort_by(|a, b| a.name.cmp(&b.name));
        it.firewalls = notes.bounded("security.firewalls", firewalls, MAX_ITEMS);
    }
    if maker.has("antivirus") || maker.has("firewalls") {
        notes.unread(
            "security.access_control",
            UnreadReason::NoSource,
            "the protocol does not hold it",
        );
    }
    let keys = [
        ("antivirus", "security.antivirus"),
        ("firewalls", "security.firewalls"),
    ];
    maker.add(&keys, Facts::Security(it), notes);
}

/// What changes by itself, of what the inventory says.
pub(super) fn volatile(content: &Map<String, Value>, now_ms: i64) -> Option<v1::VolatileFacts> {
    let mut it = v1::VolatileFacts {
        observed_at_ms: now_ms,
        ..v1::VolatileFacts::default()
    };
    for item in values::list(content, "drives").into_iter().flatten() {
        if let (Some(mount_point), Some(free)) =
            (item.any(&["type", "letter"]), item.number("free"))
        {
            it.free_space.push(v1::FreeSpace {
                mount_point,
                free_bytes: free.saturating_mul(1 << 20),
            });
        }
    }
    it.free_space
        .sort_by(|a, b| a.mount_point.cmp(&b.mount_point));
    it.free_space.truncate(500);
    let system = content
        .get("operatingsystem")
        .and_then(Value::as_object)
        .map(Item);
    it.booted_at_ms = system.and_then(|system| {
        let zone = system.object("timezone")?;
        values::moment(&system.text("boot_time")?, &zone.text("offset")?)
    });
    for item in values::list(content, "users").into_iter().flatten() {
        if let Some(login) = item.text("login") {
            it.logged_in.push(v1::LoggedIn {
                login,
                place: item.text("domain"),
                since_ms: None,
            });
        }
    }
    it.logged_in.sort_by(|a, b| a.login.cmp(&b.login));
    it.logged_in.truncate(100);
    let hardware = content.get("hardware").and_then(Value::as_object).map(Item);
    let offset = system
        .and_then(|system| system.object("timezone")?.text("offset"))
        .unwrap_or_default();
    it.last_log_on = hardware.and_then(|hardware| {
        Some(v1::LastLogOn {
            login: hardware.text("lastloggeduser")?,
            at_ms: values::log_on(&hardware.text("datelastloggeduser")?, &offset, now_ms)?,
            place: None,
        })
    });
    it.processes =
        values::list(content, "processes").and_then(|list| u32::try_from(list.len()).ok());
    // An empty list was said too: nobody is logged in, nothing is mounted.
    let said = content.contains_key("drives")
        || content.contains_key("users")
        || it.booted_at_ms.is_some()
        || it.processes.is_some()
        || it.last_log_on.is_some();
    said.then_some(it)
}

/// In a partial inventory, what changes by itself and is not said stays as it was.
pub fn still(content: &Map<String, Value>, it: &mut v1::VolatileFacts, before: v1::VolatileFacts) {
    if !content.contains_key("drives") {
        it.free_space = before.free_space;
    }
    if !content.contains_key("users") {
        it.logged_in = before.logged_in;
    }
    // A name whose time cannot be read tells that the one before is not the last any more.
    let somebody = content
        .get("hardware")
        .and_then(Value::as_object)
        .and_then(|hardware| Item(hardware).text("lastloggeduser"));
    let unchanged = |last: &v1::LastLogOn| somebody.as_ref().is_none_or(|now| *now == last.login);
    it.last_log_on = (it.last_log_on.take()).or(before.last_log_on.filter(unchanged));
    it.booted_at_ms = it.booted_at_ms.or(before.booted_at_ms);
    it.processes = it.processes.or(before.processes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(map) => map,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn what_a_partial_inventory_says_is_empty_is_so_and_what_it_does_not_say_stays() {
        let last = |login: &str| {
            Some(v1::LastLogOn {
                login: login.to_owned(),
                ..Default::default()
            })
        };
        let before = || v1::VolatileFacts {
            logged_in: vec![v1::LoggedIn {
                login: "ana".to_owned(),
                ..Default::default()
            }],
            processes: Some(90),
            last_log_on: last("ana"),
            ..Default::default()
        };
        let after = |content: Value| {
            let content = object(content);
            let mut it = volatile(&content, 1)?;
            still(&content, &mut it, before());
            Some(it)
        };
        let nobody = after(json!({ "users": [] })).unwrap();
        assert_eq!(nobody.logged_in, []);
        assert_eq!(
            (nobody.processes, nobody.last_log_on),
            (Some(90), last("ana"))
        );
        assert_eq!(after(json!({ "bios": {} })), None);
        // Another name, without a time that can be read.
        let other = json!({ "users": [], "hardware": { "lastloggeduser": "luis" } });
        assert_eq!(after(other).unwrap().last_log_on, None);
    }

    #[test]
    fn positions_become_runs() {
        assert_eq!(runs(&[0, 1, 2, 5, 6, 9]), [0, 3, 2, 2, 2, 1]);
        assert_eq!(runs(&[4]), [4, 1]);
        assert!(runs(&[]).is_empty());
    }

    #[test]
    fn systems_have_the_names_of_os_release() {
        for (name, id) in [
            ("Fedora", "fedora"),
            ("Debian GNU/Linux", "debian"),
            ("Red Hat Enterprise Linux", "rhel"),
            ("Linux Mint", "linuxmint"),
            ("Ubuntu", "ubuntu"),
        ] {
            assert_eq!(product(name), id);
        }
    }
}
