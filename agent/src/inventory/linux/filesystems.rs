//! File systems that belong to the machine. Left out, because they come and go by themselves: memory, network and image
//! mounts, what is on removable or USB disks, automounts and containers' layers. A file system mounted in several places
//! counts once, where its path is shortest.

use std::collections::BTreeMap;

use chasqui_proto::v1;

use super::super::{Notes, Source, Unreadable, bounds};
use super::block::{self, MOUNTS, Mount};
use super::udev::Properties;
use super::{storage, superblock};

const MAX_FILE_SYSTEMS: usize = 1_000;
const IMAGES: &[&str] = &[
    "squashfs", "iso9660", "udf", "erofs", "nsfs", "overlay", "autofs",
];
const PASSING: &[&str] = &[
    "/run/",
    "/media/",
    "/var/lib/docker/",
    "/var/lib/containers/",
    "/var/lib/kubelet/",
    "/snap/",
];

/// Local file systems, sorted by mount point.
pub fn local(source: &Source) -> Result<Vec<Mount>, Unreadable> {
    let all = block::mounts(source)?;
    let automounted: Vec<&str> = all
        .iter()
        .filter(|mount| mount.fs_type == "autofs")
        .map(|mount| mount.mount_point.as_str())
        .collect();
    let mut kept: BTreeMap<(&str, &str), &Mount> = BTreeMap::new();
    for mount in &all {
        let path = mount.mount_point.as_str();
        let local = mount.device.starts_with("/dev/") || mount.fs_type == "zfs";
        if !local
            || mount.device.starts_with("/dev/loop")
            || IMAGES.contains(&mount.fs_type.as_str())
            || PASSING.iter().any(|prefix| path.starts_with(prefix))
            || automounted.contains(&path)
        {
            continue;
        }
        let place = |mount: &Mount| (mount.mount_point.len(), mount.mount_point.clone());
        kept.entry((&mount.number, &mount.device))
            .and_modify(|old| {
                if place(mount) < place(old) {
                    *old = mount;
                }
            })
            .or_insert(mount);
    }
    let mut mounts: Vec<Mount> = kept
        .into_values()
        .filter(|mount| mount.mount_point == "/" || !on_a_passing_disk(source, mount))
        .cloned()
        .collect();
    mounts.sort_by(|a, b| a.mount_point.cmp(&b.mount_point));
    Ok(mounts)
}

/// The stable facts of [`local`] file systems.
pub fn read(source: &Source, notes: &mut Notes) -> Vec<v1::FileSystem> {
    let Some(mounts) = notes.take("file_systems", MOUNTS, local(source)) else {
        return Vec::new();
    };
    if !mounts.is_empty() {
        notes.from("file_systems.size_bytes", "statvfs(3)");
    }
    if mounts.len() > MAX_FILE_SYSTEMS {
        notes.unread(
            "file_systems",
            Unreadable::too_large(format!("{} file systems", mounts.len())),
        );
    }
    mounts
        .into_iter()
        .take(MAX_FILE_SYSTEMS)
        .map(|mount| {
            let group = format!("file_systems.{}.size_bytes", mount.mount_point);
            let size = if mount.fs_type == "zfs" {
                // A data set's size moves with what is written anywhere in its pool.
                Err(Unreadable::no_source(
                    "a zfs data set has no size of its own",
                ))
            } else {
                source.space(&mount.mount_point)
            };
            let (label, uuid) = names(source, &mount);
            let gap = |field: &str| format!("file_systems.{}.{field}", mount.mount_point);
            v1::FileSystem {
                label: notes.part(&gap("label"), label),
                uuid: notes.part(&gap("uuid"), uuid),
                size_bytes: notes.part(&group, size).map(|space| space.size_bytes),
                mount_point: bounds::clean(&mount.mount_point),
                device: bounds::clean(&mount.device),
                r#type: bounds::clean(&mount.fs_type),
            }
        })
        .collect()
}

/// Label and UUID, as the device manager found them when the device appeared; where none runs, from the device itself.
fn names(
    source: &Source,
    mount: &Mount,
) -> (Result<String, Unreadable>, Result<String, Unreadable>) {
    let none = |what: &str| Unreadable::no_source(format!("the file system has no {what}"));
    let device = block::devices_of(source, mount).into_iter().next();
    let Some(device) = device else {
        let why = Unreadable::no_source("no device that the kernel names");
        return (Err(why.clone()), Err(why));
    };
    let udev = Properties::of_block(source, &format!("/sys/class/block/{device}"));
    if let Ok(udev) = &udev
        && udev.get("ID_FS_TYPE").is_some()
    {
        return (
            udev.unescaped("ID_FS_LABEL_ENC")
                .ok_or_else(|| none("label")),
            udev.get("ID_FS_UUID")
                .and_then(bounds::some_text)
                .ok_or_else(|| none("UUID")),
        );
    }
    match storage::head(source, &device).map(|head| superblock::content(&head)) {
        Ok(Some(found)) => (
            found.label.ok_or_else(|| none("label")),
            found.uuid.ok_or_else(|| none("UUID")),
        ),
        Ok(None) => {
            let why = Unreadable::malformed(format!("{device}: no known signature"));
            (Err(why.clone()), Err(why))
        }
        Err(why) => (Err(why.clone()), Err(why)),
    }
}

fn on_a_passing_disk(source: &Source, mount: &Mount) -> bool {
    block::devices_of(source, mount)
        .iter()
        .flat_map(|device| block::disks_under(source, device))
        .any(|disk| {
            super::disks::bus(source, &disk).is_some_and(|bus| bus == "usb")
                || source
                    .line(&format!("/sys/block/{disk}/removable"))
                    .is_ok_and(|text| text == "1")
        })
}
