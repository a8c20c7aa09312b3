//! Mounts and block devices: which device a file system lies on, and which disks lie under a device, through partitions,
//! LVM, LUKS, RAID and btrfs.

use std::collections::BTreeSet;

use super::super::{Source, Unreadable};

/// The mounts this process sees.
pub const MOUNTS: &str = "/proc/self/mountinfo";
const CLASS: &str = "/sys/class/block";
const MAX_MOUNTS: usize = 20_000;
/// Bound of one walk down the layers of a device.
const MAX_WALK: usize = 256;

/// One line of mountinfo (proc(5)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// `major:minor`; major 0 where no single device lies below.
    pub number: String,
    /// Folder of the file system that is mounted here.
    pub root: String,
    /// Where it is mounted.
    pub mount_point: String,
    /// `ext4`, `btrfs`, ...
    pub fs_type: String,
    /// `/dev/sda2`, `/dev/mapper/vg-root`, ...
    pub device: String,
}

/// Every mount, in mounting order.
pub fn mounts(source: &Source) -> Result<Vec<Mount>, Unreadable> {
    let text = source.text(MOUNTS, 8 << 20)?;
    let mut mounts = Vec::new();
    for line in text.lines() {
        let mount = parse(line).ok_or_else(|| {
            Unreadable::malformed(format!(
                "{MOUNTS}: {}",
                super::super::bounds::clip(line, 80)
            ))
        })?;
        if mounts.len() >= MAX_MOUNTS {
            return Err(Unreadable::too_large(format!(
                "{MOUNTS}: over {MAX_MOUNTS} mounts"
            )));
        }
        mounts.push(mount);
    }
    if mounts.is_empty() {
        return Err(Unreadable::malformed(format!("{MOUNTS}: no mounts")));
    }
    Ok(mounts)
}

/// The mount of the root folder: the last one on it hides the others.
pub fn root_mount(source: &Source) -> Result<Mount, Unreadable> {
    mounts(source)?
        .into_iter()
        .rfind(|mount| mount.mount_point == "/")
        .ok_or_else(|| Unreadable::malformed(format!("{MOUNTS}: no mount on /")))
}

/// True when the root file system lies on a block device, as on a machine and unlike in a container.
pub fn root_is_on_a_device(source: &Source) -> bool {
    root_mount(source).is_ok_and(|root| !devices_of(source, &root).is_empty())
}

/// Kernel names of the devices a mounted file system lies on: `sda2`, `dm-0`; several for btrfs over several.
pub fn devices_of(source: &Source, mount: &Mount) -> BTreeSet<String> {
    let name = if mount.number.starts_with("0:") {
        by_path(source, &mount.device)
    } else {
        by_number(source, &mount.number)
    };
    let Some(name) = name else {
        return BTreeSet::new();
    };
    if mount.fs_type == "btrfs"
        && let Some(all) = btrfs_devices(source, &name)
    {
        return all;
    }
    BTreeSet::from([name])
}

/// Kernel names of the disks under a device.
pub fn disks_under(source: &Source, device: &str) -> BTreeSet<String> {
    let mut disks = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut waiting = vec![device.to_owned()];
    while let Some(name) = waiting.pop() {
        if seen.len() >= MAX_WALK || !seen.insert(name.clone()) {
            continue;
        }
        if let Some(parent) = partition_of(source, &name) {
            waiting.push(parent);
            continue;
        }
        match source.list(&format!("{CLASS}/{name}/slaves")) {
            Ok(below) if !below.is_empty() => waiting.extend(below),
            _ => {
                disks.insert(name);
            }
        }
    }
    disks
}

/// Replaces mountinfo's octal escapes (`\040` for a blank).
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let escape = tail
            .get(..3)
            .and_then(|octal| std::str::from_utf8(octal).ok())
            .and_then(|octal| u8::from_str_radix(octal, 8).ok());
        match escape {
            Some(byte) if *first == b'\\' => {
                bytes.push(byte);
                rest = tail.get(3..).unwrap_or_default();
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn parse(line: &str) -> Option<Mount> {
    let (place, device) = line.split_once(" - ")?;
    let mut place = place.split(' ').skip(2);
    let mut device = device.split(' ');
    let number = place.next()?;
    number.split_once(':')?;
    Some(Mount {
        number: number.to_owned(),
        root: unescape(place.next()?),
        mount_point: unescape(place.next()?),
        fs_type: device.next()?.to_owned(),
        device: unescape(device.next()?),
    })
}

fn by_number(source: &Source, number: &str) -> Option<String> {
    let linked = source
        .link(&format!("/sys/dev/block/{number}"))
        .ok()
        .and_then(|target| last_part(&target));
    linked.or_else(|| {
        source.list(CLASS).ok()?.into_iter().find(|name| {
            source
                .line(&format!("{CLASS}/{name}/dev"))
                .is_ok_and(|dev| dev == number)
        })
    })
}

fn by_path(source: &Source, path: &str) -> Option<String> {
    let name = path.strip_prefix("/dev/")?;
    let known =
        |name: &str| !name.contains('/') && source.exists(&format!("{CLASS}/{name}")) == Ok(true);
    if known(name) {
        return Some(name.to_owned());
    }
    let mapped = match name.split_once('/') {
        Some(("mapper", mapped)) => Some(mapped.to_owned()),
        // /dev/GROUP/VOLUME of LVM; the mapper's name doubles dashes.
        Some((group, volume)) if !volume.contains('/') => Some(format!(
            "{}-{}",
            group.replace('-', "--"),
            volume.replace('-', "--")
        )),
        _ => None,
    };
    let by_mapper = mapped.and_then(|mapped| {
        source.list(CLASS).ok()?.into_iter().find(|name| {
            name.starts_with("dm-")
                && source
                    .line(&format!("{CLASS}/{name}/dm/name"))
                    .is_ok_and(|found| found == mapped)
        })
    });
    by_mapper.or_else(|| {
        let target = source.link(path).ok()?;
        last_part(&target).filter(|name| known(name))
    })
}

fn btrfs_devices(source: &Source, name: &str) -> Option<BTreeSet<String>> {
    const BTRFS: &str = "/sys/fs/btrfs";
    source.list(BTRFS).ok()?.into_iter().find_map(|uuid| {
        let devices = source.list(&format!("{BTRFS}/{uuid}/devices")).ok()?;
        devices
            .iter()
            .any(|device| device == name)
            .then(|| devices.into_iter().collect())
    })
}

/// The disk a partition is part of; `None` for what is no partition.
fn partition_of(source: &Source, name: &str) -> Option<String> {
    let path = format!("{CLASS}/{name}");
    if source.exists(&format!("{path}/partition")) != Ok(true) {
        return None;
    }
    let linked = source.link(&path).ok().and_then(|target| {
        let (above, _) = target.rsplit_once('/')?;
        last_part(above)
    });
    linked.or_else(|| {
        source
            .list("/sys/block")
            .ok()?
            .into_iter()
            .find(|disk| source.exists(&format!("/sys/block/{disk}/{name}")) == Ok(true))
    })
}

fn last_part(path: &str) -> Option<String> {
    let name = path.rsplit('/').next()?;
    (!name.is_empty() && name != "..").then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_with_blanks_and_optional_fields() {
        let line =
            r"36 35 98:0 /mnt1 /my\040disk rw,noatime master:1 shared:2 - ext3 /dev/ro\134ot rw";
        let mount = parse(line).unwrap();
        assert_eq!(mount.mount_point, "/my disk");
        assert_eq!(mount.device, r"/dev/ro\ot");
        assert_eq!(mount.fs_type, "ext3");
        assert_eq!(parse("36 35 98:0 / /"), None);
        assert_eq!(parse(""), None);
    }
}
