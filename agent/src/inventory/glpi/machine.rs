//! Identity, operating system, programs, accounts, guests and protection.

use chasqui_proto::v1;

use super::super::date::day_of;
use super::{Content, Fields, Seen, mebibytes};

pub(super) fn fill(content: &mut Content, seen: &Seen, volatile: &v1::VolatileFacts) {
    hardware(content, seen, volatile);
    bios(content, seen);
    system(content, seen, volatile);
    software(content, seen);
    people(content, seen, volatile);
    guests(content, seen);
    protection(content, seen);
}

fn hardware(content: &mut Content, seen: &Seen, volatile: &v1::VolatileFacts) {
    let mut fields = Fields::default();
    if let Some(identity) = seen.identity() {
        fields = fields
            .text("name", &identity.host_name)
            .text("uuid", &identity.smbios_uuid);
    }
    if let Some(hardware) = seen.hardware() {
        let system = hardware.virtualization.as_deref().map(|text| match text {
            "none" => "Physical".to_owned(),
            other => other.to_owned(),
        });
        fields = fields
            .text("chassis_type", &hardware.chassis_type)
            .text("vmsystem", system);
    }
    if let Some(memory) = seen.memory() {
        fields = fields
            .number("memory", mebibytes(memory.visible_bytes))
            .number("swap", mebibytes(memory.swap_bytes));
    }
    if let Some(network) = seen.network() {
        let first = network.default_gateways.first().cloned();
        fields = fields
            .text("defaultgateway", first)
            .text("dns", &network.dns_servers.join("/"));
    }
    if let Some(directory) = seen.directory() {
        fields = fields.text(
            "workgroup",
            directory.workgroup.clone().or(directory.domain.clone()),
        );
    }
    if let Some(last) = &volatile.last_log_on {
        fields = fields
            .text("lastloggeduser", &last.login)
            .text("datelastloggeduser", moment(last.at_ms));
    }
    content.object("hardware", fields);
}

fn bios(content: &mut Content, seen: &Seen) {
    let mut fields = Fields::default();
    if let Some(identity) = seen.identity() {
        fields = fields
            .text("ssn", &identity.system_serial)
            .text("msn", &identity.board_serial)
            .text("enclosureserial", &identity.chassis_serial)
            .text("assettag", &identity.asset_tag);
    }
    if let Some(hardware) = seen.hardware() {
        fields = fields
            .text("smanufacturer", &hardware.manufacturer)
            .text("smodel", model(hardware))
            .text("skunumber", &hardware.sku)
            .text("mmanufacturer", &hardware.board_manufacturer)
            .text("mmodel", &hardware.board_model)
            .text("bmanufacturer", &hardware.firmware_vendor)
            .text("bversion", &hardware.firmware_version)
            .text("bdate", &hardware.firmware_date);
    }
    if let Some(firmware) = seen.firmware() {
        let secure_boot = match firmware.secure_boot() {
            v1::SecureBoot::Enabled => Some("enabled"),
            // Waiting for its keys it checks nothing.
            v1::SecureBoot::Disabled | v1::SecureBoot::SetupMode => Some("disabled"),
            v1::SecureBoot::Unsupported => Some("unsupported"),
            v1::SecureBoot::Unspecified => None,
        };
        fields = fields.text("secure_boot", secure_boot);
        content.list(
            "firmwares",
            firmware.components.iter().map(|one| {
                Fields::default()
                    .text("name", &one.name)
                    .text("type", &one.r#type)
                    .text("version", &one.version)
            }),
        );
    }
    content.object("bios", fields);
}

/// The name that people know. Lenovo puts a number there and the name in the version.
fn model(hardware: &v1::HardwareFacts) -> Option<String> {
    let lenovo = hardware
        .manufacturer
        .as_deref()
        .is_some_and(|maker| maker.eq_ignore_ascii_case("lenovo"));
    let names = ["Think", "Idea", "Yoga", "Legion"];
    let name = hardware
        .product_version
        .as_ref()
        .filter(|version| lenovo && names.iter().any(|name| version.starts_with(name)));
    name.or(hardware.model.as_ref()).cloned()
}

fn system(content: &mut Content, seen: &Seen, volatile: &v1::VolatileFacts) {
    let Some(system) = seen.system() else {
        return;
    };
    let identity = seen.identity();
    let fields = Fields::default()
        .text("name", distribution(system))
        .text("full_name", &system.name)
        .text("version", &system.version)
        .text("kernel_name", &system.family)
        .text("kernel_version", &system.kernel)
        .text("arch", &system.architecture)
        .text("install_date", &system.installed_on)
        .text("boot_time", volatile.booted_at_ms.and_then(moment))
        .text("dns_domain", identity.and_then(|it| it.domain_name.clone()))
        .text("fqdn", identity.and_then(fqdn));
    content.object("operatingsystem", fields);
}

/// The name without its version, `Debian GNU/Linux` of `Debian GNU/Linux 12 (bookworm)`: the protocol has both apart.
fn distribution(system: &v1::OperatingSystemFacts) -> Option<String> {
    let name = system.name.as_deref().unwrap_or_default();
    let words: Vec<&str> = name
        .split(' ')
        .take_while(|word| !word.starts_with(|c: char| c.is_ascii_digit() || c == '('))
        .collect();
    let name = words.join(" ");
    if name.is_empty() {
        return system.product.clone();
    }
    Some(name)
}

fn fqdn(identity: &v1::IdentityFacts) -> Option<String> {
    let host = identity.host_name.as_ref()?;
    Some(match &identity.domain_name {
        Some(domain) if !host.contains('.') => format!("{host}.{domain}"),
        _ => host.clone(),
    })
}

/// `YYYY-MM-DD hh:mm:ss` in UTC, as the `Z` says.
pub(super) fn moment(at_ms: i64) -> Option<String> {
    let of_day = at_ms.div_euclid(1_000).rem_euclid(86_400);
    let (hours, minutes, seconds) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    Some(format!(
        "{} {hours:02}:{minutes:02}:{seconds:02}Z",
        day_of(at_ms)?
    ))
}

fn software(content: &mut Content, seen: &Seen) {
    let Some(software) = seen.software() else {
        return;
    };
    let mut days = vec![None; software.items.len()];
    for installed in seen
        .dates()
        .map(|dates| dates.days.as_slice())
        .unwrap_or_default()
    {
        let day = day_of(i64::from(installed.day) * 86_400_000);
        let mut at = 0_usize;
        for pair in installed.runs.chunks_exact(2) {
            let [skip, length] = pair else { continue };
            at = at.saturating_add(*skip as usize);
            let end = at.saturating_add(*length as usize).min(days.len());
            days.get_mut(at.min(end)..end)
                .into_iter()
                .flatten()
                .for_each(|one| one.clone_from(&day));
            at = end;
        }
    }
    let items = software.items.iter().zip(days).map(|(one, day)| {
        // The protocol's name of the packages of dpkg.
        let from = if one.source == "dpkg" {
            "deb"
        } else {
            &one.source
        };
        Fields::default()
            .text("name", &one.name)
            .text("version", &one.version)
            .text("arch", &one.architecture)
            .text("from", from)
            .text("publisher", &one.publisher)
            .number("filesize", one.size_bytes)
            .text("system_category", &one.category)
            .text("install_date", day)
    });
    content.list("softwares", items);
}

fn people(content: &mut Content, seen: &Seen, volatile: &v1::VolatileFacts) {
    let mut logins: Vec<&String> = volatile
        .logged_in
        .iter()
        .map(|one| &one.login)
        .filter(|login| !login.is_empty())
        .collect();
    logins.sort();
    logins.dedup();
    let users = logins
        .into_iter()
        .map(|login| Fields::default().text("login", login));
    content.list("users", users);
    let Some(accounts) = seen.accounts() else {
        return;
    };
    let named = accounts.names_left_out != Some(true);
    if !named {
        return;
    }
    content.list(
        "local_users",
        accounts.accounts.iter().map(|one| {
            Fields::default()
                .text("id", Some(one.uid.to_string()))
                .text("login", &one.login)
                .text("name", &one.full_name)
                .text("home", &one.home)
                .text("shell", &one.shell)
        }),
    );
    content.list(
        "local_groups",
        accounts
            .groups
            .iter()
            .filter(|one| !one.name.is_empty())
            .map(|one| {
                let fields = Fields::default()
                    .text("id", Some(one.gid.to_string()))
                    .text("name", &one.name);
                if one.members.is_empty() {
                    fields
                } else {
                    fields.value("members", one.members.clone().into())
                }
            }),
    );
}

fn guests(content: &mut Content, seen: &Seen) {
    let Some(guests) = seen.guests() else {
        return;
    };
    content.list(
        "virtualmachines",
        guests.guests.iter().map(|one| {
            Fields::default()
                .text("name", &one.name)
                .text("vmtype", &one.r#type)
                .text("uuid", &one.uuid)
                .number("memory", mebibytes(one.memory_bytes))
                .number("vcpu", one.cpus.map(u64::from))
                .text("image", &one.image)
        }),
    );
    content.list(
        "remote_mgmt",
        guests
            .remote_tools
            .iter()
            .filter(|one| one.id.is_some())
            .map(|one| {
                Fields::default()
                    .text("id", &one.id)
                    .text("type", &one.name)
                    .text("version", &one.version)
            }),
    );
}

fn protection(content: &mut Content, seen: &Seen) {
    let Some(security) = seen.security() else {
        return;
    };
    content.list(
        "antivirus",
        security.antivirus.iter().map(|one| {
            Fields::default()
                .text("name", &one.name)
                .text("company", &one.publisher)
                .text("version", &one.version)
                .flag("enabled", one.enabled)
                .text("base_creation", &one.definitions_date)
                .text("base_version", &one.definitions_version)
        }),
    );
    content.list(
        "firewalls",
        security.firewalls.iter().filter_map(|one| {
            let status = if one.enabled? { "on" } else { "off" };
            Some(
                Fields::default()
                    .text("description", &one.name)
                    .text("status", status),
            )
        }),
    );
}
