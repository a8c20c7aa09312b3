//! A captured tree in one text file, which survives mail, tickets and file systems that know no links or colons.
//!
//! Each entry is a heading and lines that begin with `| `:
//! `file PATH` (every line ends with a newline), `text PATH` (the last one does not), `bytes PATH` (hex digits),
//! `link PATH TARGET`, `folder PATH`. Paths are absolute, below the tree's root, and have no blanks.
//!
//! Beside the machine's own files a tree may hold what no file of the machine says: `/capture.json` (the answers of system
//! calls), `/smart/DISK/PAGE` (what a disk answers, see [`super::linux::smart::ask`]) with `/smart/smartctl_scan.json` for
//! RAID controllers, and `/head/DEVICE` (the first bytes of a disk or partition, at most 128 KiB).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::Source;

/// Largest archive that is unpacked, in bytes.
pub const MAX_ARCHIVE_BYTES: usize = 64 << 20;

/// Writes an archive's tree into an empty folder of one's own and opens it.
pub fn unpack(archive: &str, into: &Path) -> io::Result<Source> {
    if archive.len() > MAX_ARCHIVE_BYTES {
        return Err(bad(0, "larger than 64 MiB"));
    }
    let mut links = Vec::new();
    let mut lines = archive.lines().enumerate().peekable();
    while let Some((number, heading)) = lines.next() {
        let mut body = Vec::new();
        while let Some((number, line)) = lines.next_if(|(_, line)| line.starts_with('|')) {
            let line = line
                .strip_prefix("| ")
                .ok_or_else(|| bad(number, "a line must begin with \"| \""))?;
            body.push(line);
        }
        let mut words = heading.split(' ');
        let (kind, path) = (words.next().unwrap_or_default(), words.next());
        let path = below(into, path.ok_or_else(|| bad(number, "no path"))?)
            .ok_or_else(|| bad(number, "a path that leaves the tree"))?;
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        match (kind, words.next()) {
            ("file", None) => {
                let text: String = body.iter().flat_map(|line| [*line, "\n"]).collect();
                fs::write(&path, text)?;
            }
            ("text", None) => fs::write(&path, body.join("\n"))?,
            ("bytes", None) => {
                let bytes =
                    hex::decode(body.concat()).map_err(|_| bad(number, "not hex digits"))?;
                fs::write(&path, bytes)?;
            }
            ("folder", None) => fs::create_dir_all(&path)?,
            // Links last, so that nothing is written through one.
            ("link", Some(target)) => links.push((path, target)),
            _ => return Err(bad(number, "neither file, text, bytes, link nor folder")),
        }
    }
    for (path, target) in links {
        std::os::unix::fs::symlink(target, path)?;
    }
    Source::captured(into)
}

fn below(root: &Path, path: &str) -> Option<PathBuf> {
    let relative = path.strip_prefix('/')?;
    let plain = relative
        .split('/')
        .all(|part| !part.is_empty() && part != "." && part != "..");
    plain.then(|| root.join(relative))
}

fn bad(number: usize, what: &str) -> io::Error {
    let line = number.saturating_add(1);
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("capture archive, line {line}: {what}"),
    )
}
