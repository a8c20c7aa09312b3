//! Encrypted devices: from udev, from the device mapper's open volumes, and the LUKS header for what neither tells.

use std::collections::{BTreeMap, BTreeSet};

use chasqui_proto::v1;
use prost::Message;

use super::super::super::{Source, Unreadable, bounds};
use super::super::superblock::{self, Luks};
use super::super::udev::Properties;
use super::super::{block, filesystems};
use super::{BLOCK, Layer, MAX_ITEMS, Reader};

const MAX_WALK: usize = 256;

impl Reader<'_> {
    pub(super) fn encryptions(
        &mut self,
        devices: &[String],
        partitions: &[v1::Partition],
        layers: &[Layer],
    ) -> Vec<v1::Encryption> {
        let mut found: BTreeMap<String, Option<&Layer>> = BTreeMap::new();
        for partition in partitions {
            if matches!(
                partition.content.as_deref(),
                Some("crypto_LUKS" | "BitLocker")
            ) {
                found.insert(partition.name.clone(), None);
            }
        }
        // Whole disks, arrays and volumes may be encrypted as well.
        for device in devices.iter().filter(|name| !name.starts_with("loop")) {
            let udev = Properties::of_block(self.source, &format!("{BLOCK}/{device}"));
            if udev.is_ok_and(|udev| {
                matches!(udev.get("ID_FS_TYPE"), Some("crypto_LUKS" | "BitLocker"))
            }) {
                found.insert(device.clone(), None);
            }
        }
        for layer in layers
            .iter()
            .filter(|layer| layer.uuid.starts_with("CRYPT-"))
        {
            if layer.below.is_empty() {
                let why = Unreadable::no_source(format!("{}: nothing below it", layer.name));
                self.gap("encryptions", why);
            }
            for device in &layer.below {
                found.insert(device.clone(), Some(layer));
            }
        }
        let mounts = match filesystems::local(self.source) {
            Ok(mounts) => mounts,
            Err(why) => {
                if !found.is_empty() {
                    self.gap("encryptions.mount_points", why);
                }
                Vec::new()
            }
        };
        found
            .into_iter()
            .take(MAX_ITEMS)
            .map(|(device, layer)| self.encryption(device, layer, &mounts))
            .collect()
    }

    fn encryption(
        &mut self,
        device: String,
        layer: Option<&Layer>,
        mounts: &[block::Mount],
    ) -> v1::Encryption {
        let udev = Properties::of_block(self.source, &format!("/sys/class/block/{device}")).ok();
        let property = |name: &str| udev.as_ref()?.get(name).and_then(bounds::some_text);
        let mut mount_points: Vec<String> = mounts
            .iter()
            .filter(|mount| {
                layer.is_some_and(|layer| {
                    block::devices_of(self.source, mount)
                        .iter()
                        .any(|top| lies_on(self.source, top, &layer.name))
                })
            })
            .map(|mount| bounds::clean(&mount.mount_point))
            .collect();
        mount_points.sort();
        let of_layer = layer.and_then(|layer| crypt(&layer.uuid));
        let of_udev = match (
            property("ID_FS_TYPE").as_deref(),
            property("ID_FS_VERSION").as_deref(),
        ) {
            (Some("crypto_LUKS"), Some("1")) => Some("luks1"),
            (Some("crypto_LUKS"), Some("2")) => Some("luks2"),
            (Some("BitLocker"), _) => Some("bitlocker"),
            _ => None,
        };
        let mut encryption = v1::Encryption {
            r#type: of_udev
                .or(of_layer.as_ref().map(|(kind, _)| *kind))
                .map(str::to_owned),
            uuid: property("ID_FS_UUID").or(of_layer.and_then(|(_, uuid)| uuid)),
            unlocked: Some(layer.is_some()),
            mount_points,
            device,
            ..v1::Encryption::default()
        };
        if matches!(encryption.r#type.as_deref(), None | Some("luks1" | "luks2")) {
            self.header(&mut encryption);
        } else {
            let why = Unreadable::no_source("only LUKS headers tell the cipher");
            self.gap("encryptions.cipher", why.clone());
            self.gap("encryptions.key_bits", why);
        }
        if encryption.r#type.is_none() || encryption.uuid.is_none() {
            let why = Unreadable::no_source("neither header nor mapper tells");
            for field in ["encryptions.type", "encryptions.uuid"] {
                self.gap(field, why.clone());
            }
        }
        encryption
    }

    /// What the LUKS header adds. The header stands still for years, so while its disk sleeps the last one read stands for
    /// it.
    fn header(&mut self, encryption: &mut v1::Encryption) {
        let read = self
            .head(&encryption.device)
            .and_then(|head| superblock::luks(&head));
        let key = |uuid: &str| {
            let uuid: String = uuid.chars().filter(char::is_ascii_hexdigit).collect();
            format!("luks-{uuid:.64}")
        };
        match read {
            Ok(Luks {
                version,
                uuid,
                cipher,
                key_bits,
            }) => {
                encryption.r#type = Some(format!("luks{version}"));
                encryption.uuid = uuid.or(encryption.uuid.take());
                encryption.cipher = cipher;
                encryption.key_bits = key_bits;
                if let Some(uuid) = &encryption.uuid {
                    let kept = v1::Encryption {
                        cipher: encryption.cipher.clone(),
                        key_bits,
                        ..v1::Encryption::default()
                    };
                    self.source.remember(&key(uuid), &kept.encode_to_vec());
                }
            }
            Err(why) => {
                let kept = encryption
                    .uuid
                    .as_ref()
                    .and_then(|uuid| self.source.recall(&key(uuid)))
                    .and_then(|bytes| v1::Encryption::decode(&*bytes).ok());
                match kept {
                    Some(kept) => {
                        encryption.cipher = kept.cipher;
                        encryption.key_bits = kept.key_bits;
                    }
                    None => {
                        self.gap("encryptions.cipher", why.clone());
                        self.gap("encryptions.key_bits", why);
                        return;
                    }
                }
            }
        }
        for (field, absent) in [
            ("encryptions.cipher", encryption.cipher.is_none()),
            ("encryptions.key_bits", encryption.key_bits.is_none()),
        ] {
            if absent {
                self.gap(
                    field,
                    Unreadable::no_source("the LUKS header does not tell"),
                );
            }
        }
    }
}

/// Kind and UUID in the mapper's id of an open volume: `CRYPT-LUKS2-32 hex digits-name`.
fn crypt(id: &str) -> Option<(&'static str, Option<String>)> {
    let (kind, rest) = id.strip_prefix("CRYPT-")?.split_once('-')?;
    let kind = match kind {
        "LUKS1" => "luks1",
        "LUKS2" => "luks2",
        "PLAIN" => "plain",
        "BITLK" => "bitlocker",
        _ => return None,
    };
    let uuid = rest
        .split('-')
        .next()
        .and_then(|digits| uuid::Uuid::parse_str(digits).ok())
        .map(|uuid| uuid.to_string());
    Some((kind, uuid))
}

fn lies_on(source: &Source, top: &str, layer: &str) -> bool {
    let mut seen = BTreeSet::new();
    let mut waiting = vec![top.to_owned()];
    while let Some(name) = waiting.pop() {
        if name == layer {
            return true;
        }
        if seen.len() >= MAX_WALK || !seen.insert(name.clone()) {
            continue;
        }
        waiting.extend(
            source
                .list(&format!("/sys/class/block/{name}/slaves"))
                .unwrap_or_default(),
        );
    }
    false
}
