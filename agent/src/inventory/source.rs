//! Where facts are read: the running machine, or a captured tree of another one. Of a captured tree nothing is read
//! outside its folder, whatever its links say, and what only a system call would tell comes from the notes that the
//! capture carries, or counts as unread: the machine that reads a capture never mixes its own facts in.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use chasqui_proto::v1::SectionKind;
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use serde::Deserialize;

use super::Unreadable;

/// The file at the top of a captured tree with what no file of the machine says.
pub const CAPTURE_NOTES: &str = "capture.json";

const MAX_NOTES_BYTES: usize = 1 << 20;
const MAX_LINE_BYTES: usize = 4_096;
const MAX_ENTRIES: usize = 100_000;
const MAX_MEMORY_BYTES: u64 = 1 << 19;
const MAX_MEMORIES: usize = 256;
const CAPTURE: &str = "a captured tree has no system calls";

/// The machine facts are read from. Clones share the tree.
#[derive(Clone, Debug)]
pub struct Source {
    tree: Option<Arc<Captured>>,
    names: bool,
    left_out: Arc<[SectionKind]>,
    memory: Option<Arc<PathBuf>>,
}

#[derive(Debug)]
struct Captured {
    root: OwnedFd,
    notes: CaptureNotes,
}

/// `capture.json`: the answers of system calls, noted where the tree was taken.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct CaptureNotes {
    /// `x86_64`, as uname(2) says.
    machine: Option<String>,
    /// Paths, with all below them, that the capturing account was not allowed to read.
    denied: Vec<String>,
    /// Times of files and folders that a copy does not keep.
    times: BTreeMap<String, Times>,
    /// Sizes of mounted file systems by mount point.
    space: BTreeMap<String, Space>,
}

/// Times of a file, in UTC milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Times {
    /// Last change of the content.
    pub modified_ms: Option<i64>,
    /// When the file was made, where the file system keeps it.
    pub born_ms: Option<i64>,
}

/// Size of a mounted file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Space {
    /// All of it, in bytes.
    pub size_bytes: u64,
    /// What an ordinary account may still use, in bytes.
    pub free_bytes: u64,
}

/// What tells whether a file was touched, without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    number: u64,
    size: i64,
    mode: u32,
    /// Last change of content or of anything else, which no program can set.
    changed: (i64, i64),
}

impl Stamp {
    /// When the file was last touched, in UTC milliseconds.
    pub fn touched_ms(&self) -> i64 {
        let (seconds, nanos) = self.changed;
        seconds
            .saturating_mul(1_000)
            .saturating_add(nanos / 1_000_000)
    }

    /// True for a folder.
    pub fn is_folder(&self) -> bool {
        FileType::from_raw_mode(self.mode) == FileType::Directory
    }

    /// The same for the same file untouched.
    pub fn bytes(&self) -> [u8; 44] {
        let mut bytes = [0; 44];
        let parts = [
            self.device.to_be_bytes(),
            self.number.to_be_bytes(),
            self.size.to_be_bytes(),
            self.changed.0.to_be_bytes(),
            self.changed.1.to_be_bytes(),
        ];
        let (head, tail) = bytes.split_at_mut(40);
        head.copy_from_slice(parts.as_flattened());
        tail.copy_from_slice(&self.mode.to_be_bytes());
        bytes
    }
}

impl Source {
    /// The running machine.
    pub fn live() -> Self {
        Self {
            tree: None,
            names: true,
            left_out: Arc::default(),
            memory: None,
        }
    }

    /// A captured tree. Needs Linux 5.6 or later (`openat2`), which keeps links inside the tree.
    pub fn captured(root: &Path) -> io::Result<Self> {
        let root = rustix::fs::open(
            root,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        let bare = Self {
            tree: Some(Arc::new(Captured {
                root,
                notes: CaptureNotes::default(),
            })),
            names: true,
            left_out: Arc::default(),
            memory: None,
        };
        let notes = match bare.bytes(&format!("/{CAPTURE_NOTES}"), MAX_NOTES_BYTES) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
                io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("{CAPTURE_NOTES}: {error}"),
                )
            })?,
            Err(why) if why.is_no_source() => CaptureNotes::default(),
            Err(why) => return Err(io::Error::other(why.detail)),
        };
        let tree = bare.tree.and_then(Arc::into_inner);
        Ok(Self {
            tree: tree.map(|tree| Arc::new(Captured { notes, ..tree })),
            names: true,
            left_out: Arc::default(),
            memory: None,
        })
    }

    /// Leaves out the names of people: accounts, who is logged in, who was last.
    pub fn without_names(mut self) -> Self {
        self.names = false;
        self
    }

    /// Leaves out whole sections: they are not read, and not part of the inventory.
    pub fn without_sections(mut self, kinds: &[SectionKind]) -> Self {
        self.left_out = kinds.into();
        self
    }

    /// Whether a section is to be read.
    pub fn with_section(&self, kind: SectionKind) -> bool {
        !self.left_out.contains(&kind)
    }

    /// Keeps answers of what may not be asked every time (a disk that sleeps) in a folder of the agent's own.
    pub fn with_memory(mut self, folder: &Path) -> Self {
        self.memory = Some(Arc::new(folder.to_owned()));
        self
    }

    /// Whether answers are kept.
    pub fn has_memory(&self) -> bool {
        self.memory.is_some()
    }

    /// An answer that was kept; `None` where there is none, or no folder to keep it in. The bytes are as trustworthy as
    /// the folder.
    pub fn recall(&self, key: &str) -> Option<Vec<u8>> {
        let file = File::open(self.memory.as_ref()?.join(key)).ok()?;
        let mut bytes = Vec::new();
        file.take(MAX_MEMORY_BYTES)
            .read_to_end(&mut bytes)
            .ok()
            .map(|_| bytes)
    }

    /// Keeps an answer under a key, which is a file name. Does nothing without a folder; a failure costs what is recalled
    /// later, which is then said to be unread.
    pub fn remember(&self, key: &str, answer: &[u8]) {
        let Some(folder) = self.memory.as_deref() else {
            return;
        };
        // An unchanged answer is not written again: an inventory must not wear the disk it reports on.
        if self.recall(key).is_some_and(|kept| kept == answer)
            || answer.len() as u64 >= MAX_MEMORY_BYTES
        {
            return;
        }
        let kept = std::fs::read_dir(folder).map_or(0, Iterator::count);
        if kept >= MAX_MEMORIES {
            // Disks that came and went. Those that are here answer again.
            let _ = std::fs::remove_dir_all(folder);
        }
        let written = folder.join(format!("{key}.new"));
        let _ = std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(&written, answer))
            .and_then(|()| std::fs::rename(&written, folder.join(key)));
    }

    /// Whether names of people are read.
    pub fn with_names(&self) -> bool {
        self.names
    }

    /// True for the running machine.
    pub fn is_live(&self) -> bool {
        self.tree.is_none()
    }

    /// The content of a regular file, at most `max` bytes; a longer one is refused.
    pub fn bytes(&self, path: &str, max: usize) -> Result<Vec<u8>, Unreadable> {
        let file = self.file(path)?;
        // Files of the kernel claim no length or a page.
        let length = file.metadata().map_or(0, |meta| meta.len());
        let length = usize::try_from(length).unwrap_or(max).min(max);
        let mut bytes = Vec::with_capacity(length.saturating_add(1));
        let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
        file.take(limit)
            .read_to_end(&mut bytes)
            .map_err(|error| Unreadable::of_error(path, &error))?;
        if bytes.len() > max {
            return Err(Unreadable::too_large(format!("{path}: over {max} bytes")));
        }
        Ok(bytes)
    }

    /// The first `max` bytes of a regular file, and whether there are more: for lists whose beginning is of use.
    pub fn beginning(&self, path: &str, max: usize) -> Result<(Vec<u8>, bool), Unreadable> {
        let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
        let mut bytes = Vec::new();
        self.file(path)?
            .take(limit)
            .read_to_end(&mut bytes)
            .map_err(|error| Unreadable::of_error(path, &error))?;
        let more = bytes.len() > max;
        bytes.truncate(max);
        Ok((bytes, more))
    }

    /// As [`Self::bytes`], as text; what is not UTF-8 becomes U+FFFD.
    pub fn text(&self, path: &str, max: usize) -> Result<String, Unreadable> {
        let bytes = self.bytes(path, max)?;
        Ok(match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        })
    }

    /// A short file such as a kernel attribute, cleaned and trimmed. An empty one counts as no source.
    pub fn line(&self, path: &str) -> Result<String, Unreadable> {
        let text = self.text(path, MAX_LINE_BYTES)?;
        super::bounds::some_text(text.trim_end_matches('\0'))
            .ok_or_else(|| Unreadable::no_source(format!("{path}: empty")))
    }

    /// A short file that holds one number.
    pub fn number<T: std::str::FromStr>(&self, path: &str) -> Result<T, Unreadable> {
        let line = self.line(path)?;
        line.parse()
            .map_err(|_| Unreadable::malformed(format!("{path}: not a number: {line:.40}")))
    }

    /// Names in a folder, sorted.
    pub fn list(&self, path: &str) -> Result<Vec<String>, Unreadable> {
        let fail = |error: io::Error| Unreadable::of_error(path, &error);
        let folder = self
            .open(path, OFlags::RDONLY | OFlags::DIRECTORY)
            .map_err(fail)?;
        let mut names = Vec::new();
        let entries = rustix::fs::Dir::new(folder).map_err(|errno| fail(errno.into()))?;
        for entry in entries {
            let entry = entry.map_err(|errno| fail(errno.into()))?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            if names.len() >= MAX_ENTRIES {
                return Err(Unreadable::too_large(format!(
                    "{path}: over {MAX_ENTRIES} entries"
                )));
            }
            // A name that is not UTF-8 could not be opened by its lossy form, and nothing we read has one.
            if let Ok(name) = std::str::from_utf8(name) {
                names.push(name.to_owned());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Where a symbolic link points, as written in it.
    pub fn link(&self, path: &str) -> Result<String, Unreadable> {
        let fail = |error: io::Error| Unreadable::of_error(path, &error);
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let parent = if parent.is_empty() { "/" } else { parent };
        let folder = self
            .open(parent, OFlags::PATH | OFlags::DIRECTORY)
            .map_err(fail)?;
        let target = rustix::fs::readlinkat(&folder, name, Vec::new())
            .map_err(|errno| fail(errno.into()))?;
        Ok(target.to_string_lossy().into_owned())
    }

    /// Whether something is there. An error is not a "no".
    pub fn exists(&self, path: &str) -> Result<bool, Unreadable> {
        match self.open(path, OFlags::PATH) {
            Ok(_) => Ok(true),
            Err(error) => match Unreadable::of_error(path, &error) {
                why if why.is_no_source() => Ok(false),
                why => Err(why),
            },
        }
    }

    /// An open regular file, for readers that need more than its bytes.
    pub fn file(&self, path: &str) -> Result<File, Unreadable> {
        let fail = |error: io::Error| Unreadable::of_error(path, &error);
        // Non-blocking, so that a named pipe in the place of a file does not hold the collector.
        let file = self
            .open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)
            .map_err(fail)?;
        let kind = rustix::fs::fstat(&file)
            .map(|stat| FileType::from_raw_mode(stat.st_mode))
            .map_err(|errno| fail(errno.into()))?;
        if kind != FileType::RegularFile {
            return Err(Unreadable::malformed(format!("{path}: not a regular file")));
        }
        Ok(File::from(file))
    }

    /// The architecture the kernel runs on, as uname(2) says.
    pub fn machine(&self) -> Result<String, Unreadable> {
        match &self.tree {
            None => Ok(rustix::system::uname()
                .machine()
                .to_string_lossy()
                .into_owned()),
            Some(tree) => tree
                .notes
                .machine
                .clone()
                .ok_or_else(|| Unreadable::no_source(CAPTURE))
                .or_else(|why| self.line("/proc/sys/kernel/arch").map_err(|_| why)),
        }
    }

    /// Size and free space of the file system mounted at `mount_point`.
    pub fn space(&self, mount_point: &str) -> Result<Space, Unreadable> {
        match &self.tree {
            None => {
                let stat = rustix::fs::statvfs(mount_point)
                    .map_err(|errno| Unreadable::of_error(mount_point, &errno.into()))?;
                Ok(Space {
                    size_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
                    free_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
                })
            }
            Some(tree) => tree
                .notes
                .space
                .get(mount_point)
                .copied()
                .ok_or_else(|| Unreadable::no_source(format!("{mount_point}: {CAPTURE}"))),
        }
    }

    /// Times of a file or folder.
    pub fn times(&self, path: &str) -> Result<Times, Unreadable> {
        match &self.tree {
            None => {
                let meta = std::fs::symlink_metadata(path)
                    .map_err(|error| Unreadable::of_error(path, &error))?;
                let ms = |time: io::Result<std::time::SystemTime>| {
                    let since = time.ok()?.duration_since(UNIX_EPOCH).ok()?;
                    i64::try_from(since.as_millis()).ok()
                };
                Ok(Times {
                    modified_ms: ms(meta.modified()),
                    born_ms: ms(meta.created()),
                })
            }
            Some(tree) => tree
                .notes
                .times
                .get(path)
                .copied()
                .ok_or_else(|| Unreadable::no_source(format!("{path}: {CAPTURE}"))),
        }
    }

    /// The stamp of a file or folder, links followed.
    pub fn stamp(&self, path: &str) -> Result<Stamp, Unreadable> {
        let fail = |error: io::Error| Unreadable::of_error(path, &error);
        let file = self.open(path, OFlags::PATH).map_err(fail)?;
        let stat = rustix::fs::fstat(&file).map_err(|errno| fail(errno.into()))?;
        Ok(Stamp {
            device: stat.st_dev,
            number: stat.st_ino,
            size: stat.st_size,
            mode: stat.st_mode,
            changed: (stat.st_ctime, stat.st_ctime_nsec.try_into().unwrap_or(0)),
        })
    }

    fn open(&self, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
        let flags = flags | OFlags::CLOEXEC;
        match &self.tree {
            None => Ok(rustix::fs::openat(
                rustix::fs::CWD,
                path,
                flags,
                Mode::empty(),
            )?),
            Some(tree) => {
                if tree.notes.denies(path) {
                    return Err(rustix::io::Errno::ACCESS.into());
                }
                let relative = path.trim_start_matches('/');
                let relative = if relative.is_empty() { "." } else { relative };
                Ok(rustix::fs::openat2(
                    &tree.root,
                    relative,
                    flags,
                    Mode::empty(),
                    ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
                )?)
            }
        }
    }
}

impl CaptureNotes {
    fn denies(&self, path: &str) -> bool {
        self.denied.iter().any(|denied| {
            path.strip_prefix(denied.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }
}
