//! `file.renewed`: a file is another one than before, and of its kind. The answer depends on the machine alone.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use chasqui_base::text::Text;
use serde::{Deserialize, Serialize};

use super::builtin::{Finding, fact};

/// `file.renewed`: the file is there, is a plain file, begins as it should, and is not the one from before.
#[derive(Clone, Debug)]
pub struct FileRenewed {
    /// Absolute.
    pub path: PathBuf,
    /// One of these must be its beginning; empty for any.
    pub begins_with: Vec<String>,
}

/// What tells one state of a file from another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileState {
    inode: u64,
    modified: (i64, u32),
    changed: (i64, u32),
    size: u64,
    begins: bool,
}

impl FileRenewed {
    /// The file now; None when it is not there or not plain.
    pub fn observe(&self) -> Option<FileState> {
        let stat_of = |file: &File| rustix::fs::fstat(file).ok();
        let flags = rustix::fs::OFlags::RDONLY
            | rustix::fs::OFlags::NOFOLLOW
            | rustix::fs::OFlags::NONBLOCK
            | rustix::fs::OFlags::CLOEXEC;
        let fd = rustix::fs::open(&self.path, flags, rustix::fs::Mode::empty()).ok()?;
        let mut file = File::from(fd);
        let stat = stat_of(&file)?;
        if !rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file() {
            return None;
        }
        let longest = self.begins_with.iter().map(String::len).max().unwrap_or(0);
        let mut head = vec![0u8; longest];
        let mut filled = 0;
        while let Some(rest) = head.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match file.read(rest) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
        head.truncate(filled);
        let begins = self.begins_with.is_empty()
            || self
                .begins_with
                .iter()
                .any(|start| head.starts_with(start.as_bytes()));
        Some(FileState {
            inode: stat.st_ino,
            modified: (
                stat.st_mtime,
                u32::try_from(stat.st_mtime_nsec).unwrap_or(0),
            ),
            changed: (
                stat.st_ctime,
                u32::try_from(stat.st_ctime_nsec).unwrap_or(0),
            ),
            size: u64::try_from(stat.st_size).unwrap_or(0),
            begins,
        })
    }

    /// The answer afterwards.
    pub fn judge(&self, before: Option<&FileState>) -> Finding {
        let after = self.observe();
        let shown = Path::display(&self.path);
        let (holds, es, en) = match &after {
            None => (
                false,
                format!("{shown} no está o no es un archivo corriente"),
                format!("{shown} is not there or is no plain file"),
            ),
            Some(after) if !after.begins => (
                false,
                format!("{shown} no empieza como debe: no es un archivo de esa clase"),
                format!("{shown} does not begin as it must: it is no file of that kind"),
            ),
            Some(after) if Some(after) == before => (
                false,
                format!("{shown} es el mismo de antes: no se renovó"),
                format!("{shown} is the same as before: it was not renewed"),
            ),
            Some(_) => (
                true,
                format!("{shown} se renovó y es de la clase esperada"),
                format!("{shown} was renewed and is of the kind expected"),
            ),
        };
        let nanos = |state: &FileState| format!("{}.{:09}", state.modified.0, state.modified.1);
        Finding {
            holds,
            facts: vec![
                fact(
                    "modified_at",
                    before.map(nanos),
                    after.as_ref().map(nanos),
                    "s",
                ),
                fact(
                    "inode",
                    before.map(|state| state.inode),
                    after.as_ref().map(|state| state.inode),
                    "",
                ),
                fact(
                    "size",
                    before.map(|state| state.size),
                    after.as_ref().map(|state| state.size),
                    "bytes",
                ),
            ],
            explanation: Text::new(es, en),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_file_is_renewed_only_when_it_is_another_one_of_its_kind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cache");
        let check = FileRenewed {
            path: path.clone(),
            begins_with: vec!["magic-1".into(), "old".into()],
        };
        assert!(!check.judge(None).holds);
        fs::write(&path, "magic-1 one").unwrap();
        let before = check.observe();
        assert!(!check.judge(before.as_ref()).holds);
        fs::write(folder.path().join("new"), "magic-1 one").unwrap();
        fs::rename(folder.path().join("new"), &path).unwrap();
        assert!(check.judge(before.as_ref()).holds);
        fs::write(&path, "other").unwrap();
        assert!(!check.judge(before.as_ref()).holds);
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
        assert!(!check.judge(before.as_ref()).holds);
    }
}
