//! Volume groups of LVM2, from its own backup of the metadata or the volumes in use, and arrays of the kernel.

use std::collections::BTreeMap;

use chasqui_proto::v1;

use super::super::super::{Unreadable, bounds};
use super::super::{lvm, superblock};
use super::{BLOCK, Layer, MAX_ITEMS, Reader};

const LVM_BACKUP: &str = "/etc/lvm/backup";

impl Reader<'_> {
    pub(super) fn volume_groups(&mut self, layers: &[Layer]) -> Vec<v1::VolumeGroup> {
        let mut groups: BTreeMap<String, v1::VolumeGroup> = BTreeMap::new();
        let listed = match self.source.list(LVM_BACKUP) {
            Ok(names) => names,
            Err(why) => {
                if !why.is_no_source() {
                    self.gap("volume_groups", why);
                }
                Vec::new()
            }
        };
        for name in listed.into_iter().take(MAX_ITEMS) {
            let path = format!("{LVM_BACKUP}/{name}");
            let read = self
                .source
                .text(&path, lvm::MAX_BYTES)
                .and_then(|text| lvm::parse(&text));
            match read {
                Ok(group) => {
                    self.notes
                        .from(&format!("volume_groups.{}", group.name), &path);
                    groups.insert(group.name.clone(), group);
                }
                Err(why) => {
                    let detail = format!("{path}: {}", why.detail);
                    self.gap("volume_groups", Unreadable { detail, ..why });
                }
            }
        }
        // Groups that no text tells of, by the volumes that are in use.
        let mut seen: BTreeMap<String, v1::VolumeGroup> = BTreeMap::new();
        for layer in layers {
            let Some((group, volume)) = logical_volume(layer) else {
                continue;
            };
            if groups.contains_key(&group.name) {
                continue;
            }
            let known = seen.entry(group.name.clone()).or_insert(group);
            known.logical_volumes.push(volume);
            for device in &layer.below {
                let device = format!("/dev/{device}");
                // Volumes over volumes (snapshots, mirrors) lie on no physical one.
                if !device.starts_with("/dev/dm-")
                    && !known.physical_volumes.iter().any(|pv| pv.device == device)
                {
                    known.physical_volumes.push(v1::PhysicalVolume {
                        device,
                        ..v1::PhysicalVolume::default()
                    });
                }
            }
        }
        for group in seen.values_mut() {
            group.logical_volumes.sort_by(|a, b| a.name.cmp(&b.name));
            group
                .physical_volumes
                .sort_by(|a, b| a.device.cmp(&b.device));
        }
        groups.extend(seen);
        let groups: Vec<v1::VolumeGroup> = groups.into_values().collect();
        for group in &groups {
            self.group_gaps(group);
        }
        groups
    }

    fn group_gaps(&mut self, group: &v1::VolumeGroup) {
        let volumes = &group.physical_volumes;
        let logical = &group.logical_volumes;
        for (field, absent) in [
            ("uuid", group.uuid.is_none()),
            ("size_bytes", group.size_bytes.is_none()),
            ("free_bytes", group.free_bytes.is_none()),
            ("extent_bytes", group.extent_bytes.is_none()),
            (
                "physical_volumes.uuid",
                volumes.iter().any(|pv| pv.uuid.is_none()),
            ),
            (
                "physical_volumes.size_bytes",
                volumes.iter().any(|pv| pv.size_bytes.is_none()),
            ),
            (
                "logical_volumes.uuid",
                logical.iter().any(|lv| lv.uuid.is_none()),
            ),
            (
                "logical_volumes.size_bytes",
                logical.iter().any(|lv| lv.size_bytes.is_none()),
            ),
            (
                "logical_volumes.segments",
                logical.iter().any(|lv| lv.segments.is_none()),
            ),
        ] {
            if absent {
                let why = format!("{LVM_BACKUP} does not tell, and the kernel does not know");
                self.gap(
                    &format!("volume_groups.{field}"),
                    Unreadable::no_source(why),
                );
            }
        }
    }

    pub(super) fn arrays(&mut self, devices: &[String]) -> Vec<v1::Array> {
        let mut arrays = Vec::new();
        for name in devices
            .iter()
            .filter(|name| name.starts_with("md"))
            .take(MAX_ITEMS)
        {
            let path = format!("{BLOCK}/{name}");
            let members = self
                .source
                .list(&format!("{path}/md"))
                .map(|files| {
                    let members = files.iter().filter_map(|file| file.strip_prefix("dev-"));
                    members.map(str::to_owned).collect::<Vec<_>>()
                })
                .ok()
                .filter(|members| !members.is_empty())
                .map_or_else(|| self.source.list(&format!("{path}/slaves")), Ok);
            let level = self.source.line(&format!("{path}/md/level"));
            let wanted: Result<u32, _> = self.source.number(&format!("{path}/md/raid_disks"));
            let missing: Result<u32, _> = match level.as_deref() {
                // These keep nothing twice, so the kernel has no such file: a member less and they are gone.
                Ok("linear" | "raid0") => Ok(0),
                _ => self.source.number(&format!("{path}/md/degraded")),
            };
            arrays.push(v1::Array {
                name: name.clone(),
                level: self.part("arrays.level", level),
                members: self.part("arrays.members", members).unwrap_or_default(),
                wanted_members: self.part("arrays.wanted_members", wanted),
                degraded: self
                    .part("arrays.degraded", missing)
                    .map(|missing| missing > 0),
            });
        }
        arrays
    }
}

/// Group and volume of the mapper's id `LVM-` + 32 letters + 32 letters, and its name `group-volume` with doubled dashes.
fn logical_volume(layer: &Layer) -> Option<(v1::VolumeGroup, v1::LogicalVolume)> {
    let ids = layer.uuid.strip_prefix("LVM-")?;
    let (group, rest) = ids.split_at_checked(32)?;
    let (volume, inner) = rest.split_at_checked(32)?;
    // A suffix marks the inner parts of pools and snapshots.
    if !inner.is_empty() {
        return None;
    }
    let (group_name, volume_name) = mapped_names(layer.label.as_deref()?)?;
    Some((
        v1::VolumeGroup {
            name: group_name,
            uuid: superblock::lvm_id(group),
            ..v1::VolumeGroup::default()
        },
        v1::LogicalVolume {
            name: volume_name,
            uuid: superblock::lvm_id(volume),
            size_bytes: layer.size_bytes,
            segments: None,
        },
    ))
}

fn mapped_names(label: &str) -> Option<(String, String)> {
    // A single dash parts the names; two stand for one.
    let hidden = label.replace("--", "\u{0}");
    let (group, volume) = hidden.split_once('-')?;
    let shown = |text: &str| bounds::clean(&text.replace('\u{0}', "-"));
    Some((shown(group), shown(volume)))
}
