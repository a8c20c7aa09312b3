//! Asking on terminals: the question is written to each, and whoever owns one answers with `chasqui-agent answer`, which
//! leaves a file that only they could write.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};
use std::time::Duration;

use chasqui_base::clock;
use chasqui_base::fault::system_root;

use super::presence::Presence;

const LOOK_AGAIN: Duration = Duration::from_millis(300);
const MAX_ANSWER: u64 = 16;
const MAX_OWNERS: usize = 64;
const MAX_QUESTIONS: usize = 64;

/// What may be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// Yes.
    Accept,
    /// Not now.
    Later,
    /// No.
    No,
}

impl Word {
    /// As it is typed.
    pub fn parse(text: &str) -> Option<Self> {
        match text.trim() {
            "accept" | "aceptar" => Some(Self::Accept),
            "later" | "luego" => Some(Self::Later),
            "no" => Some(Self::No),
            _ => None,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Later => "later",
            Self::No => "no",
        }
    }
}

/// Where answers are left: for root a folder that everybody may enter, else the agent's own.
pub fn answers_folder(own: &Path) -> PathBuf {
    if rustix::process::geteuid().is_root() {
        system_root().join("run/chasqui-agent/answers")
    } else {
        own.join("answers")
    }
}

/// Asks whoever owns a terminal. Answers who said what; None when nobody did in time, an error when nobody could be asked.
pub(super) async fn ask(
    presence: &Presence,
    own_folder: &Path,
    order_id: &str,
    text: &str,
    how: &str,
    wait: Duration,
) -> std::io::Result<Option<(Word, u32)>> {
    let mut owners: Vec<u32> = presence.terminals().iter().map(|(_, uid)| *uid).collect();
    owners.sort_unstable();
    owners.dedup();
    owners.truncate(MAX_OWNERS);
    let base = answers_folder(own_folder);
    let places: Vec<Place> = owners
        .iter()
        .filter_map(|uid| Place::make(&base, *uid, order_id, text).ok())
        .collect();
    if places.is_empty()
        || presence.tell(&format!("\r\n{}\r\n{how}\r\n", text.replace('\n', "\r\n"))) == 0
    {
        return Err(std::io::ErrorKind::NotConnected.into());
    }
    let began = clock::monotonic();
    while began.elapsed() < wait {
        for place in &places {
            if let Some(word) = place.answer() {
                return Ok(Some((word, place.uid)));
            }
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    Ok(None)
}

/// Makes the folder and lets everybody through it to their own; the agent's mask would close both parts of it.
fn enterable(base: &Path) -> std::io::Result<()> {
    let mut missing: Vec<&Path> = base
        .ancestors()
        .take_while(|folder| !folder.exists())
        .collect();
    missing.reverse();
    for folder in missing {
        match fs::create_dir(folder) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error),
            _ => fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?,
        }
    }
    Ok(())
}

/// Where one person answers one order. What is left there goes with it: a later word counts for nothing.
struct Place {
    uid: u32,
    question: PathBuf,
    answer: PathBuf,
}

impl Place {
    fn make(base: &Path, uid: u32, order_id: &str, text: &str) -> std::io::Result<Self> {
        enterable(base)?;
        let folder = base.join(uid.to_string());
        match fs::DirBuilder::new().mode(0o700).create(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let meta = fs::symlink_metadata(&folder)?;
        let own = rustix::process::geteuid();
        if own.is_root() && meta.is_dir() && meta.uid() != uid {
            std::os::unix::fs::lchown(&folder, Some(uid), None)?;
        } else if !meta.is_dir() || meta.uid() != uid {
            // An agent that is not root can ask its own account alone.
            return Err(std::io::ErrorKind::PermissionDenied.into());
        }
        let place = Self {
            uid,
            question: folder.join(format!("{order_id}.question")),
            answer: folder.join(format!("{order_id}.answer")),
        };
        // What was there before the question is no answer to it.
        let _ = fs::remove_file(&place.answer);
        let _ = fs::remove_file(&place.question);
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o644)
            .open(&place.question)?;
        file.write_all(text.as_bytes())?;
        // Whatever the agent's own mask: who is asked must be able to read it.
        file.set_permissions(fs::Permissions::from_mode(0o644))?;
        Ok(place)
    }

    fn answer(&self) -> Option<Word> {
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        let file = fs::OpenOptions::new()
            .read(true)
            .custom_flags(i32::try_from(flags.bits()).ok()?)
            .open(&self.answer)
            .ok()?;
        let meta = file.metadata().ok()?;
        if !meta.is_file() || meta.uid() != self.uid || meta.nlink() != 1 || meta.len() > MAX_ANSWER
        {
            return None;
        }
        let mut text = String::new();
        file.take(MAX_ANSWER).read_to_string(&mut text).ok()?;
        Word::parse(&text)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.question);
        let _ = fs::remove_file(&self.answer);
    }
}

/// A question that waits for this account.
#[derive(Clone, Debug)]
pub struct Question {
    /// Of the order.
    pub order_id: String,
    /// What is asked.
    pub text: String,
    folder: PathBuf,
}

/// The questions that wait for this account.
pub fn questions(own_folder: &Path) -> Vec<Question> {
    let uid = rustix::process::geteuid().as_raw();
    let shared = system_root().join("run/chasqui-agent/answers");
    let mut found = Vec::new();
    for base in [shared, own_folder.join("answers")] {
        let folder = base.join(uid.to_string());
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if let Some(order_id) = name.strip_suffix(".question")
                && found.len() < MAX_QUESTIONS
                && let Ok(text) = fs::read_to_string(entry.path())
            {
                found.push(Question {
                    order_id: order_id.to_owned(),
                    text,
                    folder: folder.clone(),
                });
            }
        }
    }
    found
}

impl Question {
    /// Leaves the answer where the agent looks.
    ///
    /// # Errors
    /// What the file system says; nothing was answered then.
    pub fn answer(&self, word: Word) -> std::io::Result<()> {
        let path = self.folder.join(format!("{}.answer", self.order_id));
        let draft = self.folder.join(format!(".{}", self.order_id));
        let _ = fs::remove_file(&draft);
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&draft)?;
        file.write_all(word.as_str().as_bytes())?;
        fs::rename(&draft, &path)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn only_a_plain_file_of_the_one_who_was_asked_is_an_answer() {
        let base = tempfile::tempdir().unwrap();
        let uid = rustix::process::geteuid().as_raw();
        let place = || Place::make(base.path(), uid, "o", "text").unwrap();
        let first = place();
        assert_eq!(first.answer(), None);
        for (text, word) in [
            ("accept\n", Some(Word::Accept)),
            ("luego", Some(Word::Later)),
            ("no", Some(Word::No)),
            ("yes", None),
            ("accept and much more of it", None),
            ("", None),
        ] {
            fs::write(&first.answer, text).unwrap();
            assert_eq!(first.answer(), word, "{text}");
        }
        // A link, another name of a file, a folder.
        let elsewhere = base.path().join("elsewhere");
        fs::write(&elsewhere, "accept").unwrap();
        fs::remove_file(&first.answer).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &first.answer).unwrap();
        assert_eq!(first.answer(), None);
        fs::remove_file(&first.answer).unwrap();
        fs::hard_link(&elsewhere, &first.answer).unwrap();
        assert_eq!(first.answer(), None);
        // What was left before the question is no answer to it, and nothing stays after it.
        fs::remove_file(&first.answer).unwrap();
        fs::write(&first.answer, "accept").unwrap();
        let left = first.answer.clone();
        let second = place();
        assert_eq!(second.answer(), None);
        drop((first, second));
        assert!(!left.exists());
    }

    #[test]
    fn anothers_file_is_no_answer() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("SKIPPED: only root can give files away");
            return;
        }
        // As the service runs. The test has its process to itself.
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().join("run/answers");
        let place = Place::make(&base, 12_345, "o", "text").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!(mode(&base), 0o755);
        assert_eq!(mode(&folder.path().join("run")), 0o755);
        assert_eq!(mode(&place.question), 0o644);
        fs::write(&place.answer, "accept").unwrap();
        assert_eq!(place.answer(), None, "root's");
        std::os::unix::fs::lchown(&place.answer, Some(12_345), None).unwrap();
        assert_eq!(place.answer(), Some(Word::Accept));
        let own = fs::metadata(base.join("12345")).unwrap();
        assert_eq!((own.uid(), own.mode() & 0o777), (12_345, 0o700));
    }
}
