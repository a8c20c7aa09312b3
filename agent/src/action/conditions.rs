//! What must be so on this machine before the first step: the definition's preconditions, and that what its parameters name
//! is here. What cannot be observed is not so.

use std::fs;
use std::path::Path;

use chasqui_trust::Authorised;
use chasqui_trust::definition::{InventoryKind, ParameterKind, Precondition};

use super::builtin::below;
use super::{program, service, tool};
use crate::consent;
use crate::policy::Refused;

const MAX_SUPPLIES: usize = 64;

/// The first that does not hold.
///
/// # Errors
/// `PARAMETER_NOT_ON_MACHINE` or `PRECONDITION`, in words.
pub async fn check(authorised: &Authorised, root: &Path) -> Result<(), Refused> {
    for (spec, given) in authorised
        .definition()
        .parameters
        .iter()
        .zip(authorised.parameters())
    {
        if let ParameterKind::Inventory { of } = &spec.kind {
            let name = given.value.to_string();
            if !is_here(*of, &name, root).await {
                return Err(Refused::new(
                    "PARAMETER_NOT_ON_MACHINE",
                    format!("{}: {name} no está en este equipo", spec.title.es),
                    format!("{}: {name} is not on this machine", spec.title.en),
                ));
            }
        }
    }
    for condition in &authorised.definition().preconditions {
        holds(condition, root).map_err(|(es, en)| Refused::new("PRECONDITION", es, en))?;
    }
    Ok(())
}

fn holds(condition: &Precondition, root: &Path) -> Result<(), (String, String)> {
    match condition {
        Precondition::BatteryAtLeast { percent } => {
            let supplies = supplies(&below(root, "/sys/class/power_supply"));
            let powered = supplies.iter().any(|supply| supply.mains_online);
            let batteries: Vec<u32> = supplies.iter().filter_map(|supply| supply.charge).collect();
            let unread = supplies
                .iter()
                .any(|supply| supply.is_battery && supply.charge.is_none());
            let least = batteries.iter().min().copied();
            if powered || (!unread && least.is_none_or(|charge| charge >= *percent)) {
                return Ok(());
            }
            let shown = least.map_or_else(|| "?".to_owned(), |charge| charge.to_string());
            Err((
                format!(
                    "el equipo está con batería ({shown} %) y se exige al menos {percent} %: conéctelo"
                ),
                format!(
                    "the machine runs on battery ({shown} %) and at least {percent} % is asked for: plug it in"
                ),
            ))
        }
        Precondition::FreeDisk { path, bytes } => {
            let free = rustix::fs::statvfs(below(root, path))
                .map(|space| space.f_bavail.saturating_mul(space.f_frsize));
            match free {
                Ok(free) if free >= *bytes => Ok(()),
                Ok(free) => Err((
                    format!("{path} tiene {free} bytes libres y se exigen {bytes}"),
                    format!("{path} has {free} bytes free and {bytes} are asked for"),
                )),
                Err(error) => Err((
                    format!("no se puede ver el espacio libre de {path}: {error}"),
                    format!("the free space of {path} cannot be seen: {error}"),
                )),
            }
        }
        Precondition::NoPendingReboot => {
            let waits = ["/run/reboot-required", "/var/run/reboot-required"]
                .iter()
                .any(|path| below(root, path).exists());
            if waits {
                Err((
                    "el equipo espera un reinicio: reinícielo primero".to_owned(),
                    "the machine waits for a restart: restart it first".to_owned(),
                ))
            } else {
                Ok(())
            }
        }
        Precondition::NobodyLoggedIn if consent::somebody_present() => Err((
            "hay alguien con sesión en el equipo".to_owned(),
            "somebody has a session on the machine".to_owned(),
        )),
        Precondition::SomebodyLoggedIn if !consent::somebody_present() => Err((
            "nadie tiene sesión en el equipo".to_owned(),
            "nobody has a session on the machine".to_owned(),
        )),
        Precondition::NobodyLoggedIn | Precondition::SomebodyLoggedIn => Ok(()),
    }
}

struct Supply {
    is_battery: bool,
    mains_online: bool,
    charge: Option<u32>,
}

fn supplies(folder: &Path) -> Vec<Supply> {
    fs::read_dir(folder)
        .into_iter()
        .flatten()
        .take(MAX_SUPPLIES)
        .flatten()
        .filter_map(|entry| {
            let value = |name: &str| {
                fs::read_to_string(entry.path().join(name))
                    .ok()
                    .map(|text| text.trim().to_owned())
            };
            // The battery of a mouse keeps no machine running.
            if value("scope").as_deref() == Some("Device") {
                return None;
            }
            let kind = value("type")?;
            Some(Supply {
                is_battery: kind == "Battery",
                mains_online: matches!(kind.as_str(), "Mains" | "USB")
                    && value("online").as_deref() == Some("1"),
                charge: (kind == "Battery")
                    .then(|| value("capacity")?.parse().ok())
                    .flatten(),
            })
        })
        .collect()
}

/// True if the machine has it. The grammar has made sure that the name is one part of a path.
async fn is_here(of: InventoryKind, name: &str, root: &Path) -> bool {
    match of {
        InventoryKind::Service => match service::systemctl(root) {
            Some(systemctl) => service::show(&systemctl, &service::unit_name(name))
                .await
                .is_some_and(|unit| unit.load == "loaded"),
            None => false,
        },
        InventoryKind::Package => {
            if let Some(query) = tool::find(root, &["/usr/bin/dpkg-query"]) {
                let args = ["-W", "-f=${db:Status-Status}\\n", "--", name];
                return tool::words(&query, &args)
                    .await
                    .is_some_and(|text| text.lines().any(|line| line == "installed"));
            }
            match tool::find(root, &["/usr/bin/rpm"]) {
                Some(rpm) => {
                    program::ask(&rpm, &["-q", "--", name], tool::QUICK)
                        .await
                        .0
                        .exit_code
                        == Some(0)
                }
                None => false,
            }
        }
        InventoryKind::Printer => match tool::find(root, &["/usr/bin/lpstat"]) {
            Some(lpstat) => tool::words(&lpstat, &["-e"])
                .await
                .is_some_and(|text| text.lines().any(|line| line.trim() == name)),
            None => false,
        },
        InventoryKind::Disk => below(root, "/sys/block").join(name).exists(),
        InventoryKind::Interface => below(root, "/sys/class/net").join(name).exists(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn supply(root: &Path, name: &str, files: &[(&str, &str)]) {
        let folder = below(root, "/sys/class/power_supply").join(name);
        fs::create_dir_all(&folder).unwrap();
        for (file, value) in files {
            fs::write(folder.join(file), format!("{value}\n")).unwrap();
        }
    }

    #[test]
    fn a_battery_counts_only_where_it_keeps_the_machine_running() {
        let wants = Precondition::BatteryAtLeast { percent: 40 };
        let root = tempfile::tempdir().unwrap();
        assert!(holds(&wants, root.path()).is_ok(), "no battery");
        supply(
            root.path(),
            "mouse",
            &[("type", "Battery"), ("scope", "Device"), ("capacity", "3")],
        );
        assert!(holds(&wants, root.path()).is_ok(), "a mouse");
        supply(
            root.path(),
            "BAT0",
            &[("type", "Battery"), ("capacity", "39")],
        );
        let (es, en) = holds(&wants, root.path()).unwrap_err();
        assert!(es.contains("39 %") && en.contains("39 %"));
        supply(root.path(), "AC", &[("type", "Mains"), ("online", "1")]);
        assert!(holds(&wants, root.path()).is_ok(), "plugged in");
        supply(root.path(), "AC", &[("type", "Mains"), ("online", "0")]);
        supply(
            root.path(),
            "BAT0",
            &[("type", "Battery"), ("capacity", "40")],
        );
        assert!(holds(&wants, root.path()).is_ok(), "charged");
        fs::remove_file(below(root.path(), "/sys/class/power_supply/BAT0/capacity")).unwrap();
        assert!(holds(&wants, root.path()).is_err(), "unread is not charged");
    }

    #[test]
    fn room_and_restarts_are_looked_at() {
        let root = tempfile::tempdir().unwrap();
        let room = |bytes| Precondition::FreeDisk {
            path: "/".to_owned(),
            bytes,
        };
        assert!(holds(&room(1), root.path()).is_ok());
        assert!(holds(&room(u64::MAX), root.path()).is_err());
        let gone = Precondition::FreeDisk {
            path: "/missing".to_owned(),
            bytes: 0,
        };
        assert!(holds(&gone, root.path()).is_err());
        assert!(holds(&Precondition::NoPendingReboot, root.path()).is_ok());
        fs::create_dir_all(root.path().join("run")).unwrap();
        fs::write(root.path().join("run/reboot-required"), "").unwrap();
        assert!(holds(&Precondition::NoPendingReboot, root.path()).is_err());
    }
}
