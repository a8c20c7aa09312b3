//! Containers of docker, podman and LXC, from what their engines keep. Those that end with their command (`--rm`) come and go,
//! and are left out where the engine marks them.

use chasqui_proto::v1;
use serde_json::Value;

use super::super::super::{Notes, Source, Unreadable, bounds};
use super::MAX_GUESTS;

const DOCKER: &str = "/var/lib/docker/containers";
const PODMAN: &str = "/var/lib/containers/storage/overlay-containers/containers.json";
const LXC: &str = "/var/lib/lxc";
const MAX_BYTES: usize = 4 << 20;

/// docker's own file of each container.
pub fn docker(source: &Source, notes: &mut Notes) -> Vec<v1::Guest> {
    let ids = list(source, DOCKER, notes);
    let mut found = Vec::new();
    for id in ids.iter().take(MAX_GUESTS) {
        let path = format!("{DOCKER}/{id}/config.v2.json");
        let host = format!("{DOCKER}/{id}/hostconfig.json");
        let read = source.bytes(&path, MAX_BYTES).and_then(|config| {
            let host = source.bytes(&host, MAX_BYTES).unwrap_or_default();
            docker_guest(&config, &host)
                .ok_or_else(|| Unreadable::malformed(format!("{path}: no container")))
        });
        match read {
            Ok(guest) => {
                notes.from("guests.docker", DOCKER);
                found.extend(guest);
            }
            // Removed while its folder was read.
            Err(why) if why.is_no_source() => {}
            Err(why) => notes.unread("guests.docker", why),
        }
    }
    found
}

fn list(source: &Source, folder: &str, notes: &mut Notes) -> Vec<String> {
    match source.list(folder) {
        Ok(names) => names,
        Err(why) if why.is_no_source() => Vec::new(),
        Err(why) => {
            notes.unread("guests", why);
            Vec::new()
        }
    }
}

/// `Some(None)` for one that removes itself.
fn docker_guest(config: &[u8], host: &[u8]) -> Option<Option<v1::Guest>> {
    let config: Value = serde_json::from_slice(config).ok()?;
    let host: Value = serde_json::from_slice(host).unwrap_or_default();
    let text = |value: &Value| value.as_str().and_then(bounds::some_text);
    let name = text(config.get("Name")?)?;
    if host.get("AutoRemove").and_then(Value::as_bool) == Some(true) {
        return Some(None);
    }
    let bound = |key: &str| host.get(key).and_then(Value::as_u64).filter(|n| *n > 0);
    Some(Some(v1::Guest {
        name: name.trim_start_matches('/').to_owned(),
        r#type: "docker".to_owned(),
        uuid: config.get("ID").and_then(text),
        memory_bytes: bound("Memory"),
        cpus: bound("NanoCpus")
            .map(|nano| nano.div_ceil(1_000_000_000))
            .and_then(|cpus| u32::try_from(cpus).ok()),
        image: config.pointer("/Config/Image").and_then(text),
    }))
}

/// The list that podman's storage keeps for root's containers.
pub fn podman(source: &Source, notes: &mut Notes) -> Vec<v1::Guest> {
    let read = source.bytes(PODMAN, MAX_BYTES).and_then(|bytes| {
        podman_guests(&bytes).ok_or_else(|| Unreadable::malformed(format!("{PODMAN}: no list")))
    });
    match read {
        Err(why) if why.is_no_source() => Vec::new(),
        other => notes
            .take("guests.podman", PODMAN, other)
            .unwrap_or_default(),
    }
}

fn podman_guests(bytes: &[u8]) -> Option<Vec<v1::Guest>> {
    let all: Value = serde_json::from_slice(bytes).ok()?;
    let text = |value: &Value| value.as_str().and_then(bounds::some_text);
    let guests = all.as_array()?.iter().take(MAX_GUESTS).filter_map(|one| {
        // What podman knows beyond its storage is JSON inside a string.
        let inner: Value = one
            .get("metadata")
            .and_then(Value::as_str)
            .and_then(|inner| serde_json::from_str(inner).ok())
            .unwrap_or_default();
        Some(v1::Guest {
            name: one.pointer("/names/0").and_then(text)?,
            r#type: "podman".to_owned(),
            uuid: one.get("id").and_then(text),
            image: inner.get("image-name").and_then(text),
            ..v1::Guest::default()
        })
    });
    Some(guests.collect())
}

/// A folder with a `config` for each container.
pub fn lxc(source: &Source, notes: &mut Notes) -> Vec<v1::Guest> {
    let mut found = Vec::new();
    for name in list(source, LXC, notes).iter().take(MAX_GUESTS) {
        let path = format!("{LXC}/{name}/config");
        match source.text(&path, MAX_BYTES) {
            Ok(text) => {
                notes.from("guests.lxc", LXC);
                found.push(lxc_guest(name, &text));
            }
            Err(why) if why.is_no_source() => {}
            Err(why) => notes.unread("guests.lxc", why),
        }
    }
    found
}

fn lxc_guest(name: &str, text: &str) -> v1::Guest {
    let field = |key: &str| super::super::ini::value(text, "", key);
    let memory = field("lxc.cgroup2.memory.max")
        .or_else(|| field("lxc.cgroup.memory.limit_in_bytes"))
        .and_then(size);
    v1::Guest {
        name: bounds::clean(name),
        r#type: "lxc".to_owned(),
        memory_bytes: memory,
        image: field("lxc.rootfs.path").and_then(bounds::some_text),
        ..v1::Guest::default()
    }
}

/// `512M`.
fn size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor: u64 = match text.get(digits.len()..)? {
        "" => 1,
        "K" | "k" => 1 << 10,
        "M" | "m" => 1 << 20,
        "G" | "g" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_that_stay() {
        let config = br#"{"ID":"abc","Name":"/web","Config":{"Image":"nginx:1.27"}}"#;
        let host = br#"{"AutoRemove":false,"Memory":1048576,"NanoCpus":1500000000}"#;
        let found = docker_guest(config, host).unwrap().unwrap();
        assert_eq!(
            (found.name.as_str(), found.cpus, found.memory_bytes),
            ("web", Some(2), Some(1 << 20))
        );
        assert_eq!(docker_guest(config, br#"{"AutoRemove":true}"#), Some(None));
        for cut in 0..config.len() {
            assert_eq!(docker_guest(&config[..cut], host), None);
        }
        assert_eq!(podman_guests(b"[{\"id\":\"x\",\"names\":[\"db\"],\"metadata\":\"{\\\"image-name\\\":\\\"pg\\\"}\"}]").unwrap()[0].image.as_deref(), Some("pg"));
        assert_eq!(podman_guests(b"{}"), None);
        let deep = "[".repeat(100_000);
        assert_eq!(podman_guests(deep.as_bytes()), None);
        assert_eq!(size("512M"), Some(512 << 20));
        assert_eq!(size("99999999999999999999G"), None);
    }
}
