//! A control group for one program and all that it starts, where the kernel has version 2 of them and this account may
//! make one: nothing that left the process group escapes it, and its bounds hold for all together. Without one the callers
//! have process groups, marks and limits of single processes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use chasqui_trust::definition::Limits;
use rustix::process::Pid;

/// Of /proc/self/mounts; more is not read.
const MAX_MOUNTS: usize = 4_000;
/// Period of processor time, microseconds.
const PERIOD_US: u64 = 100_000;

/// One group. Removed when dropped, if it is empty.
#[derive(Debug)]
pub struct Group {
    folder: PathBuf,
    holds: Holds,
}

/// Which bounds the group enforces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holds {
    /// Memory of all together.
    pub memory: bool,
    /// Processor time.
    pub cpu: bool,
    /// Number of processes.
    pub processes: bool,
}

impl Group {
    /// Makes a group inside the one this process is in. None where there is no version 2 or it may not be divided.
    pub fn make(name: &str, limits: &Limits, root: &Path) -> Option<Self> {
        let own = own_group(root)?;
        // A group that holds processes hands nothing down; the agent moves into one beside those of its programs.
        let parent = match own.file_name().and_then(|name| name.to_str()) {
            Some("agent") => own.parent()?.to_owned(),
            Some(unit) if unit.ends_with(".service") => {
                let leaf = own.join("agent");
                let moved = fs::create_dir_all(&leaf)
                    .and_then(|()| write(&leaf.join("cgroup.procs"), &std::process::id()));
                if moved.is_ok() {
                    for controller in ["+memory", "+cpu", "+pids"] {
                        let _ = write(&own.join("cgroup.subtree_control"), &controller);
                    }
                }
                own
            }
            _ => own,
        };
        let folder = parent.join(format!("action-{name}"));
        fs::create_dir(&folder).ok()?;
        let mut group = Self {
            folder,
            holds: Holds::default(),
        };
        group.holds = Holds {
            memory: limits.memory_bytes.is_some_and(|bytes| {
                let _ = group.set("memory.swap.max", &0);
                group.set("memory.max", &bytes).is_ok()
            }),
            cpu: limits.cpu_percent.is_some_and(|percent| {
                let quota = PERIOD_US.saturating_mul(u64::from(percent)) / 100;
                group
                    .set("cpu.max", &format!("{quota} {PERIOD_US}"))
                    .is_ok()
            }),
            processes: limits
                .processes
                .is_some_and(|count| group.set("pids.max", &count).is_ok()),
        };
        Some(group)
    }

    /// Takes a process in, with all that it starts from here on.
    pub fn take(&self, pid: Pid) -> bool {
        self.set("cgroup.procs", &pid.as_raw_nonzero()).is_ok()
    }

    /// Which bounds it enforces.
    pub fn holds(&self) -> Holds {
        self.holds
    }

    /// Ends every process in it, at once.
    pub fn kill(&self) {
        // Linux 5.14; before that the marks find them.
        let _ = self.set("cgroup.kill", &1);
    }

    fn set(&self, file: &str, value: &dyn std::fmt::Display) -> io::Result<()> {
        write(&self.folder.join(file), value)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // A process that was let live on keeps its group; the system removes it with the unit.
        for _ in 0..20 {
            match fs::remove_dir(&self.folder) {
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                    std::thread::sleep(std::time::Duration::from_millis(2));
                }
                _ => return,
            }
        }
    }
}

fn write(path: &Path, value: &dyn std::fmt::Display) -> io::Result<()> {
    use std::io::Write as _;
    // Never made anew: a file that is not there is a bound that is not kept.
    let mut file = fs::OpenOptions::new().write(true).open(path)?;
    file.write_all(value.to_string().as_bytes())
}

/// The folder of the group this process is in.
fn own_group(root: &Path) -> Option<PathBuf> {
    let read = |path: &str| fs::read_to_string(root.join(path)).ok();
    let mounts = read("proc/self/mounts")?;
    let mount = mounts.lines().take(MAX_MOUNTS).find_map(|line| {
        let mut words = line.split(' ');
        let (_, at, kind) = (words.next()?, words.next()?, words.next()?);
        (kind == "cgroup2").then(|| at.to_owned())
    })?;
    let own = read("proc/self/cgroup")?;
    let path = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    Some(
        root.join(mount.trim_start_matches('/'))
            .join(path.trim_start_matches('/')),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// A tree of files in the form of the kernel's; what it does with them is not shown here.
    fn tree(own: &str, files: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("proc/self")).unwrap();
        fs::write(
            root.path().join("proc/self/mounts"),
            "proc /proc proc rw 0 0\ncgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n",
        )
        .unwrap();
        fs::write(
            root.path().join("proc/self/cgroup"),
            format!("1:name=systemd:/x\n0::{own}\n"),
        )
        .unwrap();
        let folder = root.path().join("sys/fs/cgroup").join(&own[1..]);
        fs::create_dir_all(&folder).unwrap();
        for file in files {
            fs::write(folder.join(file), "").unwrap();
        }
        root
    }

    #[test]
    fn the_group_is_made_beside_the_agents_own() {
        let root = tree("/system.slice/chasqui-agent.service/agent", &[]);
        let group = Group::make("1", &Limits::default(), root.path()).unwrap();
        let unit = root
            .path()
            .join("sys/fs/cgroup/system.slice/chasqui-agent.service");
        assert!(unit.join("action-1").is_dir());
        drop(group);
        assert!(!unit.join("action-1").exists());
    }

    #[test]
    fn a_bound_whose_file_is_missing_is_not_claimed() {
        let root = tree("/somewhere", &[]);
        let limits = Limits {
            memory_bytes: Some(1 << 30),
            cpu_percent: Some(50),
            processes: Some(3),
            ..Limits::default()
        };
        let group = Group::make("1", &limits, root.path()).unwrap();
        assert_eq!(group.holds(), Holds::default());
    }

    #[test]
    fn without_version_two_there_is_none() {
        let root = tempfile::tempdir().unwrap();
        assert!(Group::make("1", &Limits::default(), root.path()).is_none());
    }
}
