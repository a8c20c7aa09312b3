//! The demo's data folder: made new, known again by its marker, and never anybody else's.

use std::fs::{self, File, FileTimes};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use chasqui_base::{clock, durable};
use serde::{Deserialize, Serialize};

use crate::failure::{Exit, Failure, Outcome};
use crate::input;

const MARKER: &str = ".chasqui-demo";
/// What the demo makes in its folder: all it ever removes.
const OURS: [&str; 6] = [
    "server",
    "agent",
    "ceremony",
    "people",
    "logs",
    "evidence.json",
];
const DAY_MS: i64 = 86_400_000;

/// Old files put into the work folder, bytes each.
const OLD_FILES: [(&str, usize); 5] = [
    ("cache-0001.tmp", 256 * 1024),
    ("cache-0002.tmp", 512 * 1024),
    ("descarga-vieja.part", 1024 * 1024),
    ("informe (copia).bak", 64 * 1024),
    ("sesion/borrador.swp", 16 * 1024),
];
/// A file of today: it must be there afterwards.
const NEW_FILE: &str = "de-hoy.txt";
/// How old the old files are.
const OLD_DAYS: i64 = 45;

#[derive(Serialize, Deserialize)]
struct Marker {
    made_by: String,
    /// Work folder below /tmp.
    work: PathBuf,
}

/// The folder, locked as long as this value lives.
#[derive(Debug)]
pub struct DataFolder {
    /// Absolute path.
    pub path: PathBuf,
    /// The only folder the machine's policy lets the action work in.
    pub work: PathBuf,
    /// True when an older demo was removed.
    pub replaced: bool,
    _lock: File,
}

impl DataFolder {
    /// Makes the folder, or takes over one that an earlier demo made.
    pub fn open(path: &Path) -> Outcome<Self> {
        let path = std::path::absolute(path)?;
        let marker = path.join(MARKER);
        let mut replaced = false;
        if path.exists() {
            let entries = fs::read_dir(&path).map_err(|error| Failure::file(&path, &error))?;
            let empty = entries.count() == 0;
            if !empty && !is_ours(&marker) {
                return Err(not_ours(&path));
            }
            replaced = !empty;
        }
        durable::create_private_dir(&path).map_err(|error| Failure::file(&path, &error))?;
        let lock = lock(&path, &marker)?;
        if replaced {
            clear(&path, &marker)?;
        }
        let work = make_work()?;
        let text = serde_json::to_vec(&Marker {
            made_by: "chasqui demo".to_owned(),
            work: work.clone(),
        })
        .map_err(|error| Failure::new(Exit::Failed, "IO", error.to_string(), error.to_string()))?;
        // In place: the lock is on this very file.
        fs::write(&marker, text).map_err(|error| Failure::file(&marker, &error))?;
        Ok(Self {
            path,
            work,
            replaced,
            _lock: lock,
        })
    }

    /// A file or folder in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Fills the work folder; gives back number and bytes of the old files.
    pub fn fill_work(&self) -> Outcome<(usize, u64)> {
        let old_ms = clock::now_ms() - OLD_DAYS * DAY_MS;
        let old = UNIX_EPOCH + Duration::from_millis(u64::try_from(old_ms).unwrap_or(0));
        let times = FileTimes::new().set_accessed(old).set_modified(old);
        let mut bytes = 0;
        for (name, size) in OLD_FILES {
            let path = self.work.join(name);
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder).map_err(|error| Failure::file(folder, &error))?;
            }
            fs::write(&path, vec![b'x'; size]).map_err(|error| Failure::file(&path, &error))?;
            let file = File::options()
                .write(true)
                .open(&path)
                .map_err(|error| Failure::file(&path, &error))?;
            file.set_times(times)
                .map_err(|error| Failure::file(&path, &error))?;
            bytes += size as u64;
        }
        let new = self.work.join(NEW_FILE);
        fs::write(&new, b"hoy\n").map_err(|error| Failure::file(&new, &error))?;
        Ok((OLD_FILES.len(), bytes))
    }

    /// How many of the old files are still there, and whether the new one is.
    pub fn look_at_work(&self) -> (usize, bool) {
        let left = OLD_FILES
            .iter()
            .filter(|(name, _)| self.work.join(name).exists())
            .count();
        (left, self.work.join(NEW_FILE).exists())
    }

    /// Removes the work folder; what is left of it after an interruption harms nobody.
    pub fn remove_work(&self) {
        remove_work(&self.work);
    }
}

fn is_ours(marker: &Path) -> bool {
    read_marker(marker).is_some_and(|m| m.made_by == "chasqui demo")
}

fn read_marker(marker: &Path) -> Option<Marker> {
    serde_json::from_slice(&input::read_file(marker).ok()?).ok()
}

fn not_ours(path: &Path) -> Failure {
    let path = path.display();
    Failure::new(
        Exit::Refused,
        "DEMO_FOLDER_NOT_OURS",
        format!("la carpeta {path} no la hizo una demostración: no se toca"),
        format!("the folder {path} was not made by a demo: it is left alone"),
    )
    .hint(
        "elija otra con --data CARPETA",
        "choose another with --data DIR",
    )
}

fn lock(path: &Path, marker: &Path) -> Outcome<File> {
    use rustix::fs::{FlockOperation, flock};
    let file = File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(marker)
        .map_err(|error| Failure::file(marker, &error))?;
    flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
        let path = path.display();
        Failure::new(
            Exit::Refused,
            "DEMO_RUNNING",
            format!("otra demostración usa ahora la carpeta {path}"),
            format!("another demo is using the folder {path} now"),
        )
        .hint(
            "elija otra con --data CARPETA",
            "choose another with --data DIR",
        )
    })?;
    Ok(file)
}

/// Removes what an earlier demo made, by name, and nothing else.
fn clear(path: &Path, marker: &Path) -> Outcome {
    if let Some(marker) = read_marker(marker) {
        remove_work(&marker.work);
    }
    for name in OURS {
        let entry = path.join(name);
        let removed = match fs::symlink_metadata(&entry) {
            Err(_) => continue,
            Ok(meta) if meta.is_dir() => fs::remove_dir_all(&entry),
            Ok(_) => fs::remove_file(&entry),
        };
        removed.map_err(|error| Failure::file(&entry, &error))?;
    }
    Ok(())
}

fn make_work() -> Outcome<PathBuf> {
    use std::os::unix::fs::DirBuilderExt as _;
    let name = hex::encode(input::random::<4>()?);
    let work = Path::new("/tmp").join(format!("chasqui-demo-{name}"));
    // Fails on anything that is there already: nobody else's folder is ever filled.
    fs::DirBuilder::new()
        .mode(0o700)
        .create(&work)
        .map_err(|error| Failure::file(&work, &error))?;
    Ok(work)
}

fn remove_work(work: &Path) {
    let ours = work.parent() == Some(Path::new("/tmp"))
        && work
            .file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| name.starts_with("chasqui-demo-"));
    if ours && fs::symlink_metadata(work).is_ok_and(|meta| meta.is_dir()) {
        let _ = fs::remove_dir_all(work);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_somebody_else_is_left_alone() {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("letters.txt"), b"mine").unwrap();
        let refused = DataFolder::open(place.path()).unwrap_err();
        assert_eq!(refused.code, "DEMO_FOLDER_NOT_OURS");
        assert!(place.path().join("letters.txt").exists());
    }

    #[test]
    fn an_old_demo_is_replaced_but_a_running_one_is_not() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("demo");
        let first = DataFolder::open(&path).unwrap();
        fs::create_dir(path.join("server")).unwrap();
        fs::write(path.join("notes.txt"), b"a presenter's own").unwrap();
        assert_eq!(DataFolder::open(&path).unwrap_err().code, "DEMO_RUNNING");
        let work = first.work.clone();
        first.fill_work().unwrap();
        drop(first);
        let second = DataFolder::open(&path).unwrap();
        assert!(second.replaced);
        assert!(!path.join("server").exists());
        assert!(path.join("notes.txt").exists());
        assert!(!work.exists());
        second.remove_work();
    }
}
