//! SELinux and AppArmor.

use chasqui_proto::v1;

use super::super::super::{Notes, Source, Unreadable, bounds};
use super::super::ini;

const ENFORCE: &str = "/sys/fs/selinux/enforce";
const CONFIGURED: &str = "/etc/selinux/config";
const APPARMOR: &str = "/sys/module/apparmor/parameters/enabled";

/// Those that the kernel has or the settings name.
pub fn read(source: &Source, notes: &mut Notes) -> Vec<v1::AccessControl> {
    let mut found = Vec::new();
    for (name, read) in [("apparmor", apparmor(source)), ("selinux", selinux(source))] {
        let mode = match read {
            Ok((path, mode)) => {
                notes.from("access_control", path);
                Some(mode)
            }
            Err(why) if why.is_no_source() => continue,
            Err(why) => {
                notes.unread(&format!("access_control.{name}.mode"), why);
                None
            }
        };
        found.push(v1::AccessControl {
            name: name.to_owned(),
            mode,
        });
    }
    found
}

fn apparmor(source: &Source) -> Result<(&'static str, String), Unreadable> {
    let line = match source.line(APPARMOR) {
        // The kernel always says Y or N.
        Err(why) if why.is_no_source() && source.exists(APPARMOR) == Ok(true) => {
            return Err(Unreadable::malformed(format!("{APPARMOR}: empty")));
        }
        other => other?,
    };
    match line.as_str() {
        "Y" => Ok((APPARMOR, "enabled".to_owned())),
        "N" => Ok((APPARMOR, "disabled".to_owned())),
        other => Err(Unreadable::malformed(format!("{APPARMOR}: {other:.40}"))),
    }
}

/// What the kernel does now; with the kernel's file away, what the settings say it would do.
fn selinux(source: &Source) -> Result<(&'static str, String), Unreadable> {
    if source.exists(ENFORCE) == Ok(true) {
        let mode = match source.line(ENFORCE).as_deref() {
            Ok("1") => "enforcing",
            Ok("0") => "permissive",
            _ => return Err(Unreadable::malformed(format!("{ENFORCE}: neither 0 nor 1"))),
        };
        return Ok((ENFORCE, mode.to_owned()));
    }
    let text = source.text(CONFIGURED, 1 << 16)?;
    let mode = ini::value(&text, "", "SELINUX")
        .map(|mode| ini::bare(mode).to_ascii_lowercase())
        .filter(|mode| matches!(mode.as_str(), "enforcing" | "permissive" | "disabled"))
        .ok_or_else(|| Unreadable::malformed(format!("{CONFIGURED}: no SELINUX mode")))?;
    // Asked for, but the kernel runs without it: what counts is the kernel.
    let mode = if source.exists("/sys/kernel") == Ok(true) {
        "disabled".to_owned()
    } else {
        mode
    };
    Ok((CONFIGURED, bounds::clean(&mode)))
}
