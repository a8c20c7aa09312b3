//! Whether the machine waits to be started anew: what package managers leave for people to see, and a kernel that is
//! installed but does not run yet.

use std::cmp::Ordering;

use chasqui_version as version;

use super::super::super::{Notes, Source, Unreadable, bounds};

const REQUIRED: &[&str] = &["/run/reboot-required", "/var/run/reboot-required"];
const RUNNING: &str = "/proc/sys/kernel/osrelease";
const MODULES: &[&str] = &["/lib/modules", "/usr/lib/modules"];
const MAX_REASONS: usize = 100;

/// The answer, and why.
pub fn read(source: &Source, notes: &mut Notes) -> (Option<bool>, Vec<String>) {
    let mut reasons = Vec::new();
    let mut required = false;
    for path in REQUIRED {
        match source.exists(path) {
            Ok(true) => {
                required = true;
                notes.from("reboot_pending", path);
                reasons.extend(packages(source, &format!("{path}.pkgs"), notes));
            }
            Ok(false) => {}
            Err(why) => notes.unread("reboot_reasons", why),
        }
    }
    let kernel = newer_kernel(source);
    match &kernel {
        Ok(newer) => {
            notes.from("reboot_pending", RUNNING);
            reasons.extend(newer.iter().map(|release| format!("kernel {release}")));
        }
        Err(why) if required => notes.unread("reboot_reasons", why.clone()),
        Err(why) => notes.unread("reboot_pending", why.clone()),
    }
    reasons.sort();
    reasons.dedup();
    reasons.truncate(MAX_REASONS);
    let pending = match kernel {
        Ok(newer) => Some(required || newer.is_some()),
        Err(_) => required.then_some(true),
    };
    (pending, reasons)
}

fn packages(source: &Source, path: &str, notes: &mut Notes) -> Vec<String> {
    match source.text(path, 1 << 20) {
        Ok(text) => {
            let names: Vec<String> = text.lines().filter_map(bounds::some_text).collect();
            if names.is_empty() {
                let why = Unreadable::malformed(format!("{path}: no packages"));
                notes.unread("reboot_reasons", why);
            }
            names
        }
        Err(why) => {
            notes.unread("reboot_reasons", why);
            Vec::new()
        }
    }
}

/// The newest installed kernel of the running one's flavour, if it is newer. A container has no kernels of its own.
fn newer_kernel(source: &Source) -> Result<Option<String>, Unreadable> {
    let running = source.line(RUNNING)?;
    let mut installed = Vec::new();
    for folder in MODULES {
        let Ok(names) = source.list(folder) else {
            continue;
        };
        for name in names {
            // Removed kernels leave folders with modules that were built on this machine.
            let image = [
                format!("{folder}/{name}/vmlinuz"),
                format!("/boot/vmlinuz-{name}"),
                format!("/boot/vmlinux-{name}"),
            ];
            if image.iter().any(|path| source.exists(path) == Ok(true)) {
                installed.push(name);
            }
        }
    }
    if installed.is_empty() {
        return Err(Unreadable::no_source(
            "no kernels with their modules are installed",
        ));
    }
    Ok(newest_after(&running, &installed))
}

fn newest_after(running: &str, installed: &[String]) -> Option<String> {
    let flavour = flavour(running);
    installed
        .iter()
        .filter(|release| self::flavour(release) == flavour)
        .filter(|release| version::deb(release, running) == Ordering::Greater)
        .max_by(|a, b| version::deb(a, b))
        .map(|release| bounds::clean(release))
}

/// `generic` of `5.15.0-91-generic`; kernels of other flavours are beside the running one, not after it.
fn flavour(release: &str) -> &str {
    release
        .rsplit('-')
        .next()
        .filter(|last| last.starts_with(|c: char| c.is_ascii_alphabetic()))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_kernel_of_the_same_flavour() {
        let check = |running: &str, installed: &[&str]| {
            let installed: Vec<String> = installed.iter().map(|s| (*s).to_owned()).collect();
            newest_after(running, &installed)
        };
        let ubuntu = [
            "5.15.0-91-generic",
            "5.15.0-101-generic",
            "6.5.0-1-lowlatency",
        ];
        assert_eq!(
            check("5.15.0-91-generic", &ubuntu).as_deref(),
            Some("5.15.0-101-generic")
        );
        assert_eq!(check("5.15.0-101-generic", &ubuntu), None);
        assert_eq!(
            check("6.9.7-200.fc40.x86_64", &["6.9.9-200.fc40.x86_64"]).as_deref(),
            Some("6.9.9-200.fc40.x86_64")
        );
        assert_eq!(
            check("6.9.7-arch1-1", &["6.9.7-arch1-1", "6.6.1-1-lts"]),
            None
        );
    }
}
