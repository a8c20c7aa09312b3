//! Settings of the operating system as a whole: time zone, locale, the key by which SSH knows the machine, desktops.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use sha2::{Digest as _, Sha256};

use super::super::{Notes, Source, Unreadable, bounds};
use super::ini;

const LOCALTIME: &str = "/etc/localtime";
const TIMEZONE: &str = "/etc/timezone";
const LOCALES: &[&str] = &["/etc/locale.conf", "/etc/default/locale"];
/// The stronger kinds first; clients ask for them in this order.
const HOST_KEYS: &[&str] = &[
    "/etc/ssh/ssh_host_ed25519_key.pub",
    "/etc/ssh/ssh_host_ecdsa_key.pub",
    "/etc/ssh/ssh_host_rsa_key.pub",
];
const SESSIONS: &[&str] = &["/usr/share/xsessions", "/usr/share/wayland-sessions"];
const MAX_DESKTOPS: usize = 50;

/// `America/Bogota`, as the link to the zone's file says, else the file of Debian.
pub fn time_zone(source: &Source) -> Result<(&'static str, String), Unreadable> {
    let linked = source.link(LOCALTIME).ok().and_then(|target| {
        let (_, zone) = target.split_once("/zoneinfo/")?;
        bounds::some_text(zone)
    });
    match linked {
        Some(zone) => Ok((LOCALTIME, zone)),
        None => source.line(TIMEZONE).map(|zone| (TIMEZONE, zone)),
    }
}

/// The locale of the system; accounts may have others.
pub fn locale(source: &Source) -> Result<(&'static str, String), Unreadable> {
    super::super::first_of(LOCALES.iter().map(|path| {
        let read = source.text(path, 1 << 16).and_then(|text| {
            ini::value(&text, "", "LANG")
                .and_then(|lang| bounds::some_text(ini::bare(lang)))
                .ok_or_else(|| Unreadable::no_source(format!("{path}: no LANG")))
        });
        (*path, read)
    }))
}

/// `SHA256:...` of the public host key, as ssh-keygen(1) shows it.
pub fn ssh_host_key(source: &Source) -> Result<(&'static str, String), Unreadable> {
    super::super::first_of(HOST_KEYS.iter().map(|path| {
        let read = source.line(path).and_then(|line| {
            digest(&line).ok_or_else(|| Unreadable::malformed(format!("{path}: no public key")))
        });
        (*path, read)
    }))
}

/// A line `ssh-ed25519 AAAA... comment`; the blob repeats the kind behind its length.
fn digest(line: &str) -> Option<String> {
    let mut words = line.split_whitespace();
    let (kind, blob) = (words.next()?, STANDARD.decode(words.next()?).ok()?);
    let parts = parts(&blob)?;
    (parts.len() > 1 && *parts.first()? == kind.as_bytes()).then(|| {
        let digest = Sha256::digest(&blob);
        format!("SHA256:{}", STANDARD_NO_PAD.encode(digest))
    })
}

/// The strings of a key (RFC 4251, section 5), each behind its length; `None` when they do not fill the blob.
fn parts(mut blob: &[u8]) -> Option<Vec<&[u8]>> {
    let mut parts = Vec::new();
    while !blob.is_empty() {
        let (length, rest) = blob.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        parts.push(rest.get(..length)?);
        blob = rest.get(length..)?;
    }
    Some(parts)
}

/// Desktop environments that people can choose at log-on.
pub fn desktops(source: &Source, notes: &mut Notes) -> Vec<String> {
    let mut found = Vec::new();
    for folder in SESSIONS {
        match source.list(folder) {
            Ok(names) => {
                notes.from("desktops", folder);
                found.extend(names.iter().filter_map(|name| desktop(name)));
            }
            Err(why) if why.is_no_source() => {}
            Err(why) => notes.unread("desktops", why),
        }
    }
    found.sort();
    found.dedup();
    found.truncate(MAX_DESKTOPS);
    if found.is_empty() {
        let why = "no sessions in /usr/share/xsessions and /usr/share/wayland-sessions";
        notes.unread("desktops", Unreadable::no_source(why));
    }
    found
}

/// The desktop of a session's file: `plasmax11.desktop` is KDE's.
fn desktop(file: &str) -> Option<String> {
    const KNOWN: &[(&str, &str)] = &[
        ("gnome", "gnome"),
        ("ubuntu", "gnome"),
        ("plasma", "kde"),
        ("kde", "kde"),
        ("xfce", "xfce"),
        ("xubuntu", "xfce"),
        ("cinnamon", "cinnamon"),
        ("mate", "mate"),
        ("lxqt", "lxqt"),
        ("lubuntu", "lxqt"),
        ("lxde", "lxde"),
        ("budgie", "budgie"),
        ("pantheon", "pantheon"),
        ("deepin", "deepin"),
        ("enlightenment", "enlightenment"),
    ];
    let stem = file.strip_suffix(".desktop")?.to_ascii_lowercase();
    match KNOWN.iter().find(|(start, _)| stem.starts_with(start)) {
        Some((_, name)) => Some((*name).to_owned()),
        // The display manager's own way to a person's script.
        None if stem == "lightdm-xsession" || stem == "default" => None,
        None => bounds::some_text(&stem),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_that_ssh_keygen_shows() {
        let line = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl root@a";
        let shown = "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU";
        assert_eq!(digest(line).as_deref(), Some(shown));
        for cut in 0..60 {
            assert_eq!(digest(&line[..cut]), None, "{cut}");
        }
        assert_eq!(digest("ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIOMq"), None);
        assert_eq!(digest("ssh-rsa /////w=="), None);
    }

    #[test]
    fn desktops_by_their_sessions() {
        assert_eq!(desktop("plasmax11.desktop").as_deref(), Some("kde"));
        assert_eq!(desktop("ubuntu-xorg.desktop").as_deref(), Some("gnome"));
        assert_eq!(desktop("i3.desktop").as_deref(), Some("i3"));
        assert_eq!(desktop("README"), None);
    }
}
