//! `files.clean`: old files below the temporary folders. Every step of the walk holds on to the folder it is in by
//! handle and never follows a link, so that nobody who may write there can lead it elsewhere. Memory is bounded by depth.
//!
//! What goes: plain files with one name, not modified since the cutoff, on the folder's own file system, not open in any
//! process that can be seen; then folders that became empty, if they were old themselves. What stays is counted by reason.
//! File names stay on the machine: they are personal; only counts are reported.

use std::collections::HashSet;
use std::ffi::{CStr, CString};
use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use chasqui_base::clock::{DAY_MS, SECOND_MS};
use chasqui_base::fault_point;
use chasqui_base::text::Text;
use chasqui_trust::result::CheckFact;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::builtin::{Finding, fact};
use crate::output::Output;

/// Deepest folder entered, one handle each.
const MAX_DEPTH: usize = 200;
/// Most files noted as open.
const MAX_OPEN: usize = 200_000;
const MAX_MAPS: u64 = 4 * 1024 * 1024;
/// Names at the top of a temporary folder that belong to the system while it runs.
const SYSTEM_NAMES: [&[u8]; 6] = [
    b".X11-unix",
    b".ICE-unix",
    b".font-unix",
    b".XIM-unix",
    b".Test-unix",
    b"lost+found",
];
const SYSTEM_PREFIXES: [&[u8]; 3] = [b"systemd-private-", b"snap-private-tmp", b"snap."];

/// What is old, and where.
#[derive(Clone, Debug)]
pub struct Cleaner {
    /// Absolute, without links.
    pub folders: Vec<PathBuf>,
    /// Files not modified since here, UTC seconds.
    pub cutoff_s: i64,
    /// Also not read, and not changed in any other way.
    pub untouched: bool,
    /// Never entered: device and inode of the agent's own folders.
    pub protected: HashSet<(u64, u64)>,
}

/// Counts of one walk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Plain files met.
    pub files: u64,
    /// Their space on disk.
    pub bytes: u64,
    /// Files that the rule takes.
    pub old_files: u64,
    /// Their space on disk.
    pub old_bytes: u64,
    /// Files removed.
    pub removed_files: u64,
    /// Space they gave back.
    pub removed_bytes: u64,
    /// Folders removed.
    pub removed_folders: u64,
    /// Old files left: open somewhere.
    pub in_use: u64,
    /// Old files left: they have other names, so removing one frees nothing.
    pub hard_linked: u64,
    /// Symbolic links, never followed nor removed.
    pub links: u64,
    /// Sockets, pipes, devices.
    pub special: u64,
    /// Folders of other file systems, not entered.
    pub other_file_systems: u64,
    /// Names of the system or of the agent, not entered.
    pub protected: u64,
    /// Old files this account may not remove.
    pub not_permitted: u64,
    /// Folders that could not be looked into.
    pub unreadable: u64,
    /// True when the walk was called off or out of time.
    pub stopped: bool,
}

/// Whether to look or to remove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Counts alone.
    Look,
    /// Removes what the rule takes.
    Remove,
}

struct Frame {
    dir: Dir,
    /// Name in the folder above; empty for the top.
    name: CString,
    /// As it was before anything in it was touched.
    stat: Stat,
}

impl Cleaner {
    /// Old means more than `days` days before `now_ms`.
    pub fn new(folders: Vec<PathBuf>, days: i64, now_ms: i64, untouched: bool) -> Self {
        Self {
            folders,
            cutoff_s: now_ms
                .saturating_sub(days.saturating_mul(DAY_MS))
                .div_euclid(SECOND_MS),
            untouched,
            protected: HashSet::new(),
        }
    }

    /// Keeps a folder of the agent out of reach.
    pub fn protect(&mut self, path: &Path) {
        if let Ok(meta) = fs::metadata(path) {
            self.protected.insert((meta.dev(), meta.ino()));
        }
    }

    /// Walks all folders. `stop` is asked between entries.
    pub fn walk(&self, mode: Pass, stop: &dyn Fn() -> bool, output: &Output) -> Tally {
        let mut tally = Tally::default();
        for folder in &self.folders {
            match open_folder(folder) {
                Ok(fd) => {
                    let before = tally.clone();
                    self.walk_one(fd, mode, stop, &mut tally);
                    if mode == Pass::Remove {
                        output.line(&format!(
                            "{}: -{} files, -{} bytes, -{} folders",
                            folder.display(),
                            tally.removed_files - before.removed_files,
                            tally.removed_bytes - before.removed_bytes,
                            tally.removed_folders - before.removed_folders,
                        ));
                    }
                }
                // A folder that is not there holds no file; one that is a link or closed was not observed.
                Err(Errno::NOENT) => {}
                Err(error) => {
                    tally.unreadable += 1;
                    output.line(&format!("{}: {error}", folder.display()));
                }
            }
            if tally.stopped {
                break;
            }
        }
        tally
    }

    fn walk_one(&self, top: OwnedFd, mode: Pass, stop: &dyn Fn() -> bool, tally: &mut Tally) {
        let Ok(stat) = rustix::fs::fstat(&top) else {
            tally.unreadable += 1;
            return;
        };
        if self.is_protected(&stat) {
            tally.protected += 1;
            return;
        }
        let device = stat.st_dev;
        let open = OpenFiles::on(device);
        let Ok(dir) = Dir::new(top) else {
            tally.unreadable += 1;
            return;
        };
        let mut stack = vec![Frame {
            dir,
            name: CString::default(),
            stat,
        }];
        while let Some(frame) = stack.last_mut() {
            if stop() {
                tally.stopped = true;
                return;
            }
            match frame.dir.read() {
                Some(Ok(entry)) => {
                    let name = entry.file_name();
                    if name == c"." || name == c".." {
                        continue;
                    }
                    let name = name.to_owned();
                    let depth = stack.len();
                    let Some(frame) = stack.last() else { return };
                    let Ok(here) = frame.dir.fd() else {
                        tally.unreadable += 1;
                        stack.pop();
                        continue;
                    };
                    if let Some(below) = self.entry(here, name, depth, device, &open, mode, tally) {
                        stack.push(below);
                    }
                }
                Some(Err(_)) => {
                    tally.unreadable += 1;
                    stack.pop();
                }
                None => {
                    let Some(done) = stack.pop() else { return };
                    if let (Pass::Remove, Some(above)) = (mode, stack.last())
                        && let Ok(above) = above.dir.fd()
                    {
                        self.remove_folder(above, &done, &open, tally);
                    }
                }
            }
        }
    }

    /// One entry of a folder; answers the folder to enter, if it is one.
    #[allow(clippy::too_many_arguments)]
    fn entry(
        &self,
        here: BorrowedFd<'_>,
        name: CString,
        depth: usize,
        device: u64,
        open: &OpenFiles,
        mode: Pass,
        tally: &mut Tally,
    ) -> Option<Frame> {
        if depth == 1 && is_system_name(&name) {
            tally.protected += 1;
            return None;
        }
        let stat = match rustix::fs::statat(here, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            // Gone meanwhile.
            Err(Errno::NOENT) => return None,
            Err(_) => {
                tally.unreadable += 1;
                return None;
            }
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => self.enter(here, name, depth, device, tally),
            FileType::RegularFile => {
                self.file(here, &name, &stat, device, open, mode, tally);
                None
            }
            FileType::Symlink => {
                tally.links += 1;
                None
            }
            _ => {
                tally.special += 1;
                None
            }
        }
    }

    fn enter(
        &self,
        here: BorrowedFd<'_>,
        name: CString,
        depth: usize,
        device: u64,
        tally: &mut Tally,
    ) -> Option<Frame> {
        if depth >= MAX_DEPTH {
            tally.unreadable += 1;
            return None;
        }
        let fd = match open_below(here, &name) {
            Ok(fd) => fd,
            Err(Errno::XDEV) => {
                tally.other_file_systems += 1;
                return None;
            }
            // Gone, or exchanged for something else, since it was looked at.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return None,
            Err(_) => {
                tally.unreadable += 1;
                return None;
            }
        };
        let Ok(stat) = rustix::fs::fstat(&fd) else {
            tally.unreadable += 1;
            return None;
        };
        if stat.st_dev != device {
            tally.other_file_systems += 1;
            return None;
        }
        if self.is_protected(&stat) {
            tally.protected += 1;
            return None;
        }
        match Dir::new(fd) {
            Ok(dir) => Some(Frame { dir, name, stat }),
            Err(_) => {
                tally.unreadable += 1;
                None
            }
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn file(
        &self,
        here: BorrowedFd<'_>,
        name: &CStr,
        stat: &Stat,
        device: u64,
        open: &OpenFiles,
        mode: Pass,
        tally: &mut Tally,
    ) {
        if stat.st_dev != device {
            tally.other_file_systems += 1;
            return;
        }
        tally.files += 1;
        tally.bytes += space_of(stat);
        if !self.is_old(stat) {
            return;
        }
        if stat.st_nlink != 1 {
            tally.hard_linked += 1;
            return;
        }
        if open.contains(stat) {
            tally.in_use += 1;
            return;
        }
        tally.old_files += 1;
        tally.old_bytes += space_of(stat);
        if mode == Pass::Remove {
            match self.remove_file(here, name, stat) {
                Ok(true) => {
                    tally.removed_files += 1;
                    tally.removed_bytes += space_of(stat);
                    fault_point!("agent.action.file.removed");
                }
                // Changed under our hands: it is not the file that was judged.
                Ok(false) => {}
                Err(_) => tally.not_permitted += 1,
            }
        }
    }

    /// Removes the name if it still leads to the very file that was judged. The handle keeps its inode number from being
    /// given to another file in between.
    fn remove_file(&self, here: BorrowedFd<'_>, name: &CStr, seen: &Stat) -> Result<bool, Errno> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let handle = match rustix::fs::openat(here, name, flags, Mode::empty()) {
            Ok(handle) => handle,
            Err(Errno::NOENT) => return Ok(false),
            Err(error) => return Err(error),
        };
        let held = rustix::fs::fstat(&handle)?;
        let same = held.st_ino == seen.st_ino
            && held.st_dev == seen.st_dev
            && held.st_nlink == 1
            && FileType::from_raw_mode(held.st_mode) == FileType::RegularFile
            && self.is_old(&held);
        if !same {
            return Ok(false);
        }
        let now = match rustix::fs::statat(here, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(now) => now,
            Err(Errno::NOENT) => return Ok(false),
            Err(error) => return Err(error),
        };
        if (now.st_dev, now.st_ino) != (held.st_dev, held.st_ino) {
            return Ok(false);
        }
        match rustix::fs::unlinkat(here, name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn remove_folder(
        &self,
        above: BorrowedFd<'_>,
        frame: &Frame,
        open: &OpenFiles,
        tally: &mut Tally,
    ) {
        let sticky = frame.stat.st_mode & Mode::SVTX.bits() != 0;
        if sticky || !self.is_old(&frame.stat) || open.contains(&frame.stat) {
            return;
        }
        let same = rustix::fs::statat(above, &frame.name, AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|now| (now.st_dev, now.st_ino) == (frame.stat.st_dev, frame.stat.st_ino));
        // Only an empty folder goes; one that still holds something says so itself.
        if same && rustix::fs::unlinkat(above, &frame.name, AtFlags::REMOVEDIR).is_ok() {
            tally.removed_folders += 1;
        }
    }

    fn is_old(&self, stat: &Stat) -> bool {
        stat.st_mtime < self.cutoff_s
            && (!self.untouched || (stat.st_ctime < self.cutoff_s && stat.st_atime < self.cutoff_s))
    }

    fn is_protected(&self, stat: &Stat) -> bool {
        self.protected.contains(&(stat.st_dev, stat.st_ino))
    }

    /// Free space of the file systems of the folders, each once.
    pub fn free_bytes(&self) -> Option<u64> {
        let mut seen = HashSet::new();
        let mut free = None;
        for folder in &self.folders {
            if let Ok(fd) = open_folder(folder)
                && let Ok(stat) = rustix::fs::fstat(&fd)
                && seen.insert(stat.st_dev)
                && let Ok(space) = rustix::fs::fstatvfs(&fd)
            {
                *free.get_or_insert(0u64) += space.f_bavail.saturating_mul(space.f_frsize);
            }
        }
        free
    }

    /// The check afterwards: nothing that the rule takes is left, everything could be looked at, and what is gone adds
    /// up. `at_least` asks for that many bytes besides.
    pub fn judge(
        &self,
        before: &Tally,
        removed: &Tally,
        after: &Tally,
        free: (Option<u64>, Option<u64>),
        at_least: Option<u64>,
    ) -> Finding {
        let adds_up = after.old_bytes.saturating_add(removed.removed_bytes) <= before.old_bytes
            || before.old_files == 0;
        let enough = at_least.is_none_or(|least| removed.removed_bytes >= least);
        let seen = after.unreadable == 0 && !after.stopped && !before.stopped;
        let holds = after.old_files == 0 && adds_up && enough && seen;
        let (gone, freed) = (removed.removed_files, removed.removed_bytes);
        let (es, en) = if !seen {
            (
                format!(
                    "no se pudo mirar todo ({} carpetas): no se puede decir que no queden archivos viejos",
                    after.unreadable
                ),
                format!(
                    "not everything could be looked at ({} folders): it cannot be said that no old files are left",
                    after.unreadable
                ),
            )
        } else if after.old_files > 0 {
            (
                format!(
                    "quedan {} archivos viejos ({} bytes); se quitaron {gone}",
                    after.old_files, after.old_bytes
                ),
                format!(
                    "{} old files ({} bytes) are left; {gone} were removed",
                    after.old_files, after.old_bytes
                ),
            )
        } else if !enough {
            let least = at_least.unwrap_or(0);
            (
                format!("se liberaron {freed} bytes y se exigen al menos {least}"),
                format!("{freed} bytes were freed and at least {least} are asked for"),
            )
        } else if !adds_up {
            (
                "los bytes de antes, los quitados y los de después no cuadran".to_owned(),
                "the bytes before, removed and after do not add up".to_owned(),
            )
        } else {
            (
                format!(
                    "no queda ningún archivo viejo: se quitaron {gone} y se liberaron {freed} bytes"
                ),
                format!("no old file is left: {gone} were removed and {freed} bytes freed"),
            )
        };
        let none: Option<u64> = None;
        let only = |name, value: u64, unit| fact(name, none, Some(value), unit);
        let facts: Vec<CheckFact> = vec![
            fact("free_bytes", free.0, free.1, "bytes"),
            fact(
                "folder_bytes",
                Some(before.bytes),
                Some(after.bytes),
                "bytes",
            ),
            fact(
                "old_files",
                Some(before.old_files),
                Some(after.old_files),
                "",
            ),
            fact(
                "old_bytes",
                Some(before.old_bytes),
                Some(after.old_bytes),
                "bytes",
            ),
            only("removed_files", gone, ""),
            only("removed_bytes", freed, "bytes"),
            only("removed_folders", removed.removed_folders, ""),
            only("left_in_use", after.in_use, ""),
            only("left_hard_linked", after.hard_linked, ""),
            only("left_not_permitted", removed.not_permitted, ""),
            only("links_not_followed", after.links, ""),
            only("special_files", after.special, ""),
            only("other_file_systems", after.other_file_systems, ""),
            only("protected", after.protected, ""),
            only("unreadable", after.unreadable, ""),
        ];
        Finding {
            holds,
            facts,
            explanation: Text::new(es, en),
        }
    }
}

fn space_of(stat: &Stat) -> u64 {
    u64::try_from(stat.st_blocks)
        .unwrap_or(0)
        .saturating_mul(512)
}

fn is_system_name(name: &CStr) -> bool {
    let name = name.to_bytes();
    let x_lock = name.starts_with(b".X") && name.ends_with(b"-lock");
    x_lock
        || SYSTEM_NAMES.contains(&name)
        || SYSTEM_PREFIXES
            .iter()
            .any(|prefix| name.starts_with(prefix))
}

/// Opens an absolute folder part by part, none of which may be a link.
fn open_folder(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut at = rustix::fs::open("/", flags, Mode::empty())?;
    for part in path.components() {
        match part {
            Component::RootDir => {}
            Component::Normal(name) => {
                at = rustix::fs::openat(at.as_fd(), name, flags, Mode::empty())?;
            }
            _ => return Err(Errno::INVAL),
        }
    }
    Ok(at)
}

/// Opens a folder inside another: no link, no mount (a bind mount has the same device number, so the kernel is asked).
fn open_below(here: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    match rustix::fs::openat2(here, name, flags, Mode::empty(), resolve) {
        // Kernels before 5.6, and sandboxes that do not know the call.
        Err(Errno::NOSYS | Errno::PERM) => rustix::fs::openat(here, name, flags, Mode::empty()),
        other => other,
    }
}

/// Files and folders that some process has open or mapped, on one device, as far as this account can see.
struct OpenFiles(HashSet<u64>);

impl OpenFiles {
    fn on(device: u64) -> Self {
        let mut inodes = HashSet::new();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let is_process = entry
                .file_name()
                .to_str()
                .is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
            if is_process && inodes.len() < MAX_OPEN {
                note_process(&entry.path(), device, &mut inodes);
            }
        }
        Self(inodes)
    }

    fn contains(&self, stat: &Stat) -> bool {
        self.0.contains(&stat.st_ino)
    }
}

fn note_process(process: &Path, device: u64, inodes: &mut HashSet<u64>) {
    let own = process
        .file_name()
        .is_some_and(|name| name.to_str() == Some(std::process::id().to_string().as_str()));
    let mut note = |path: &Path| {
        if let Ok(meta) = fs::metadata(path)
            && meta.dev() == device
        {
            inodes.insert(meta.ino());
        }
    };
    note(&process.join("cwd"));
    // Our own handles are those of the walk itself.
    if !own {
        for fd in fs::read_dir(process.join("fd"))
            .into_iter()
            .flatten()
            .flatten()
        {
            note(&fd.path());
        }
    }
    let maps = fs::File::open(process.join("maps")).and_then(|file| {
        use std::io::Read as _;
        let mut text = Vec::new();
        file.take(MAX_MAPS).read_to_end(&mut text)?;
        Ok(text)
    });
    for line in maps.unwrap_or_default().split(|byte| *byte == b'\n') {
        if let Some((mapped_device, inode)) = mapped(line)
            && mapped_device == device
        {
            inodes.insert(inode);
        }
    }
}

/// Device and inode of a line of /proc/PID/maps: `range perms offset dev inode path`.
fn mapped(line: &[u8]) -> Option<(u64, u64)> {
    let text = String::from_utf8_lossy(line);
    let mut words = text.split_ascii_whitespace().skip(3);
    let (major, minor) = words.next()?.split_once(':')?;
    let inode: u64 = words.next()?.parse().ok().filter(|inode| *inode != 0)?;
    let major = u32::from_str_radix(major, 16).ok()?;
    let minor = u32::from_str_radix(minor, 16).ok()?;
    Some((rustix::fs::makedev(major, minor), inode))
}
