//! LVM's metadata text, as `/etc/lvm/backup/GROUP` keeps it (lvm.conf(5), vgcfgbackup(8)): sections in braces, `name = value`
//! lines. Sizes are counted in extents, and those in sectors of 512 bytes.

use chasqui_proto::v1;

use super::super::{Unreadable, bounds};

/// Largest file that is read.
pub const MAX_BYTES: usize = 4 << 20;
const MAX_DEPTH: usize = 8;
const MAX_NODES: usize = 20_000;
const MAX_VOLUMES: usize = 2_000;
const SECTOR: u64 = 512;

#[derive(Debug, Default)]
struct Node {
    name: String,
    values: Vec<(String, String)>,
    children: Vec<Node>,
}

impl Node {
    fn value(&self, name: &str) -> Option<&str> {
        let (_, value) = self.values.iter().find(|(key, _)| key == name)?;
        Some(value)
    }

    fn text(&self, name: &str) -> Option<String> {
        let quoted = self.value(name)?.strip_prefix('"')?.strip_suffix('"')?;
        bounds::some_text(quoted)
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.value(name)?.parse().ok()
    }

    fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    fn children_of(&self, name: &str) -> &[Self] {
        self.child(name).map_or(&[], |child| &child.children)
    }
}

/// The volume group that a text describes. A physical volume's device is the path as it was at the last change.
pub fn parse(text: &str) -> Result<v1::VolumeGroup, Unreadable> {
    let root = tree(text)?;
    let group = root
        .children
        .iter()
        .find(|child| child.value("extent_size").is_some())
        .ok_or_else(|| Unreadable::malformed("LVM metadata: no volume group"))?;
    let extent = group
        .number("extent_size")
        .and_then(|sectors| sectors.checked_mul(SECTOR))
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| Unreadable::malformed("LVM metadata: no extent size"))?;
    let bytes = |extents: u64| extents.checked_mul(extent);
    let volumes = group.children_of("physical_volumes");
    let logical = group.children_of("logical_volumes");
    // Extents that segments take of physical volumes: of a mirror its legs, which are volumes of their own.
    let mut used: Option<u64> = Some(0);
    let mut logical_volumes = Vec::new();
    for volume in logical.iter().take(MAX_VOLUMES) {
        let segments = volume
            .children
            .iter()
            .filter(|child| child.name.starts_with("segment"));
        let mut size: Option<u64> = Some(0);
        let mut count = 0_u32;
        for segment in segments {
            count = count.saturating_add(1);
            let extents = segment.number("extent_count");
            size = size
                .zip(extents)
                .and_then(|(sum, more)| sum.checked_add(more));
            if segment.value("stripes").is_some_and(|stripes| {
                volumes
                    .iter()
                    .any(|pv| stripes.contains(&format!("\"{}\"", pv.name)))
            }) {
                used = used
                    .zip(extents)
                    .and_then(|(sum, more)| sum.checked_add(more));
            }
        }
        logical_volumes.push(v1::LogicalVolume {
            name: bounds::clean(&volume.name),
            uuid: volume.text("id"),
            size_bytes: size.and_then(bytes),
            segments: Some(count),
        });
    }
    logical_volumes.sort_by(|a, b| a.name.cmp(&b.name));
    let mut total: Option<u64> = Some(0);
    let mut physical_volumes = Vec::new();
    for volume in volumes.iter().take(MAX_VOLUMES) {
        let extents = volume.number("pe_count");
        total = total
            .zip(extents)
            .and_then(|(sum, more)| sum.checked_add(more));
        physical_volumes.push(v1::PhysicalVolume {
            device: volume.text("device").unwrap_or_default(),
            uuid: volume.text("id"),
            size_bytes: volume
                .number("dev_size")
                .and_then(|sectors| sectors.checked_mul(SECTOR)),
        });
    }
    physical_volumes.sort_by(|a, b| a.device.cmp(&b.device));
    Ok(v1::VolumeGroup {
        name: bounds::clean(&group.name),
        uuid: group.text("id"),
        size_bytes: total.and_then(bytes),
        free_bytes: total
            .zip(used)
            .and_then(|(total, used)| total.checked_sub(used))
            .and_then(bytes),
        extent_bytes: Some(extent),
        physical_volumes,
        logical_volumes,
    })
}

fn tree(text: &str) -> Result<Node, Unreadable> {
    let bad = |what: &str| Unreadable::malformed(format!("LVM metadata: {what}"));
    let mut open = vec![Node::default()];
    let mut nodes = 0_usize;
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let line = uncommented(line).trim();
        if line.is_empty() {
            continue;
        }
        if line == "}" {
            let done = open.pop().ok_or_else(|| bad("a brace too many"))?;
            let above = open.last_mut().ok_or_else(|| bad("a brace too many"))?;
            above.children.push(done);
        } else if let Some(name) = line.strip_suffix('{') {
            nodes = nodes.saturating_add(1);
            if open.len() >= MAX_DEPTH || nodes > MAX_NODES {
                return Err(bad("too many sections"));
            }
            open.push(Node {
                name: name.trim().to_owned(),
                ..Node::default()
            });
        } else if let Some((name, value)) = line.split_once('=') {
            let mut value = value.trim().to_owned();
            // Lists may go over lines.
            while value.starts_with('[') && !value.ends_with(']') {
                let more = lines.next().ok_or_else(|| bad("a list without an end"))?;
                value.push_str(uncommented(more).trim());
            }
            let node = open.last_mut().ok_or_else(|| bad("a value outside"))?;
            node.values.push((name.trim().to_owned(), value));
        } else {
            return Err(bad(&bounds::clip(line, 60)));
        }
    }
    match open.pop() {
        Some(root) if open.is_empty() => Ok(root),
        _ => Err(bad("it ends early")),
    }
}

fn uncommented(line: &str) -> &str {
    let mut quoted = false;
    let end = line.char_indices().find(|(_, c)| {
        if *c == '"' {
            quoted = !quoted;
        }
        *c == '#' && !quoted
    });
    end.map_or(line, |(at, _)| line.get(..at).unwrap_or(line))
}
