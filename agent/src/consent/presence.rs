//! Who is at the machine and which terminals they read, as logind's session files and the owners of the terminals show
//! it. What cannot be read counts as somebody: a doubt must never turn into "nobody was there". Knows no order.

use std::collections::BTreeMap;
use std::fs::{self, FileType, Metadata};
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use chasqui_base::fault::system_root;

/// More entries than this in a folder are not looked at, and count as somebody.
const MAX_ENTRIES: usize = 4_096;
const MAX_SESSION_BYTES: u64 = 64 * 1024;
/// The kernel's own bound on text consoles (MAX_NR_CONSOLES).
const MAX_CONSOLES: usize = 63;
const MAX_SERIAL: usize = 32;

/// Where to look.
pub(super) struct Places {
    pub(super) sessions: PathBuf,
    dev: PathBuf,
    is_terminal: fn(FileType) -> bool,
}

impl Places {
    pub(super) fn of_this_machine() -> Self {
        Self {
            sessions: system_root().join("run/systemd/sessions"),
            dev: system_root().join("dev"),
            is_terminal: is_char_device,
        }
    }
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Presence {
    somebody: bool,
    terminals: Vec<PathBuf>,
}

/// What a session says of the console it is on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Console {
    /// A person reads text there.
    Text,
    /// A person has a desktop there: text written to the console is not seen.
    Desktop,
    /// A login screen or another program.
    NoPerson,
}

impl Presence {
    pub(super) fn find(places: &Places) -> Self {
        let mut found = Self::default();
        let consoles = found.read_sessions(&places.sessions);
        found.read_pseudo_terminals(places);
        found.read_consoles(places, &consoles);
        found
    }

    /// True when somebody is there, or when that cannot be excluded.
    pub(super) fn somebody(&self) -> bool {
        self.somebody
    }

    /// Writes the text to every terminal that people read. Answers how many took all of it. Written to directly, so
    /// `mesg n` stops only an agent that is neither root nor the owner.
    pub(super) fn tell(&self, text: &str) -> usize {
        self.terminals
            .iter()
            .filter_map(|path| open_to_write(path)?.write_all(text.as_bytes()).ok())
            .count()
    }

    /// The terminals that people read, with who owns each.
    pub(super) fn terminals(&self) -> Vec<(PathBuf, u32)> {
        use std::os::unix::fs::MetadataExt as _;
        self.terminals
            .iter()
            .filter_map(|path| Some((path.clone(), fs::symlink_metadata(path).ok()?.uid())))
            .collect()
    }

    fn read_sessions(&mut self, folder: &Path) -> BTreeMap<String, Console> {
        let mut consoles = BTreeMap::new();
        for path in self.entries(folder) {
            // Beside each session may lie a FIFO, `<id>.ref`, that logind holds open: reading it would never end.
            let read = fs::symlink_metadata(&path).and_then(|meta| {
                if meta.is_file() {
                    read_bounded(&path).map(Some)
                } else {
                    Ok(None)
                }
            });
            match read {
                Ok(Some(text)) => self.note_session(&text, &mut consoles),
                Ok(None) => {}
                Err(error) => self.note_error(&path, &error),
            }
        }
        consoles
    }

    fn note_session(&mut self, text: &str, consoles: &mut BTreeMap<String, Console>) {
        let value = |key: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
        };
        // Logged out; only programs left behind keep the session.
        if value("STATE") == Some("closing") {
            return;
        }
        // user, user-early, user-light, user-incomplete, and those to come.
        let person = value("CLASS").is_some_and(|class| class.starts_with("user"));
        self.somebody |= person;
        if let Some(tty) = value("TTY") {
            let console = match (person, value("TYPE")) {
                (false, _) => Console::NoPerson,
                (true, Some("tty")) => Console::Text,
                (true, _) => Console::Desktop,
            };
            // A person's session on the same console as a login screen's outweighs it.
            let held = consoles.entry(tty.to_owned()).or_insert(console);
            if *held == Console::NoPerson {
                *held = console;
            }
        }
    }

    /// Each pseudo terminal is a window, a remote login or the like; whoever owns it can be told on it.
    fn read_pseudo_terminals(&mut self, places: &Places) {
        for path in self.entries(&places.dev.join("pts")) {
            if path.file_name().is_some_and(|name| name == "ptmx") {
                continue;
            }
            if self.terminal(&path, places).is_some() {
                self.somebody = true;
                self.terminals.push(path);
            }
        }
    }

    /// Text consoles and serial lines. They always exist: a person is there when a login gave them to one.
    fn read_consoles(&mut self, places: &Places, sessions: &BTreeMap<String, Console>) {
        let names = (1..=MAX_CONSOLES)
            .map(|n| format!("tty{n}"))
            .chain((0..MAX_SERIAL).map(|n| format!("ttyS{n}")));
        for name in names {
            let path = places.dev.join(&name);
            let Some(meta) = self.terminal(&path, places) else {
                continue;
            };
            match sessions.get(&name) {
                Some(Console::Text) => self.terminals.push(path),
                Some(Console::Desktop | Console::NoPerson) => {}
                // Owned without a session: somebody, yet a desktop may cover the text, so it is not written there.
                None => self.somebody |= owned_by_person(&meta),
            }
        }
    }

    fn terminal(&mut self, path: &Path, places: &Places) -> Option<Metadata> {
        match fs::symlink_metadata(path) {
            Ok(meta) => (places.is_terminal)(meta.file_type()).then_some(meta),
            Err(error) => {
                self.note_error(path, &error);
                None
            }
        }
    }

    fn entries(&mut self, folder: &Path) -> Vec<PathBuf> {
        let mut paths = Vec::new();
        match fs::read_dir(folder) {
            Ok(entries) => {
                for entry in entries {
                    if paths.len() == MAX_ENTRIES {
                        tracing::warn!(folder = %folder.display(), "too many entries: counted as somebody present");
                        self.somebody = true;
                        break;
                    }
                    match entry {
                        Ok(entry) => paths.push(entry.path()),
                        Err(error) => {
                            self.note_error(folder, &error);
                            break;
                        }
                    }
                }
            }
            Err(error) => self.note_error(folder, &error),
        }
        paths
    }

    /// What is not there is nobody; what cannot be read may be somebody.
    fn note_error(&mut self, path: &Path, error: &std::io::Error) {
        if error.kind() != ErrorKind::NotFound {
            tracing::warn!(path = %path.display(), %error, "not readable: counted as somebody present");
            self.somebody = true;
        }
    }
}

fn read_bounded(path: &Path) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    fs::File::open(path)?
        .take(MAX_SESSION_BYTES)
        .read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(unix)]
fn is_char_device(kind: FileType) -> bool {
    std::os::unix::fs::FileTypeExt::is_char_device(&kind)
}

#[cfg(not(unix))]
fn is_char_device(_kind: FileType) -> bool {
    false
}

/// Idle consoles are root's, or nobody's where user ids are mapped (a container without root).
#[cfg(unix)]
fn owned_by_person(meta: &Metadata) -> bool {
    !matches!(std::os::unix::fs::MetadataExt::uid(meta), 0 | 65_534)
}

#[cfg(not(unix))]
fn owned_by_person(_meta: &Metadata) -> bool {
    false
}

#[cfg(unix)]
fn open_to_write(path: &Path) -> Option<fs::File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    // A terminal that is stopped must not stop the agent.
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    fs::OpenOptions::new()
        .write(true)
        .custom_flags(i32::try_from(flags.bits()).ok()?)
        .open(path)
        .ok()
}

#[cfg(not(unix))]
fn open_to_write(_path: &Path) -> Option<fs::File> {
    None
}

#[cfg(all(test, unix))]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    use super::*;

    struct Machine {
        root: tempfile::TempDir,
        places: Places,
    }

    fn machine() -> Machine {
        let root = tempfile::tempdir().unwrap();
        let places = Places {
            sessions: root.path().join("sessions"),
            dev: root.path().join("dev"),
            // Plain files stand for terminals; a folder for one that cannot be written to.
            is_terminal: |_| true,
        };
        fs::create_dir_all(&places.sessions).unwrap();
        fs::create_dir_all(places.dev.join("pts")).unwrap();
        fs::write(places.dev.join("pts/ptmx"), "").unwrap();
        Machine { root, places }
    }

    impl Machine {
        fn session(&self, name: &str, text: &str) {
            fs::write(self.places.sessions.join(name), text).unwrap();
        }

        fn terminal(&self, name: &str) -> PathBuf {
            let path = self.places.dev.join(name);
            fs::write(&path, "").unwrap();
            path
        }

        /// (somebody, told)
        fn told(&self) -> (bool, usize) {
            let presence = Presence::find(&self.places);
            (presence.somebody(), presence.tell("hello"))
        }
    }

    #[test]
    fn a_machine_without_sessions_or_terminals_has_nobody() {
        let machine = machine();
        assert_eq!(machine.told(), (false, 0));
        fs::remove_dir_all(machine.root.path().join("dev")).unwrap();
        fs::remove_dir_all(machine.root.path().join("sessions")).unwrap();
        assert_eq!(machine.told(), (false, 0));
    }

    #[test]
    fn every_class_of_user_is_a_person_and_no_other() {
        for class in ["user", "user-early", "user-light", "user-incomplete"] {
            let machine = machine();
            machine.session("1", &format!("UID=1000\nCLASS={class}\n"));
            assert_eq!(machine.told(), (true, 0), "{class}");
        }
        for text in [
            "CLASS=greeter\n",
            "CLASS=manager\n",
            "CLASS=background\n",
            "STATE=closing\nCLASS=user\n",
        ] {
            let machine = machine();
            machine.session("1", text);
            assert_eq!(machine.told(), (false, 0), "{text}");
        }
    }

    #[test]
    fn the_last_of_many_sessions_counts_and_too_many_are_somebody() {
        let machine = machine();
        for n in 0..200 {
            machine.session(&format!("m{n}"), "CLASS=manager\n");
        }
        assert_eq!(machine.told(), (false, 0));
        for n in 0..=MAX_ENTRIES {
            machine.session(&format!("m{n}"), "CLASS=manager\n");
        }
        assert_eq!(machine.told(), (true, 0));
    }

    #[test]
    fn sessions_that_cannot_be_read_are_somebody() {
        let machine = machine();
        fs::remove_dir(&machine.places.sessions).unwrap();
        // Not a folder: an error that is not "not found".
        fs::write(&machine.places.sessions, "").unwrap();
        assert_eq!(machine.told(), (true, 0));
    }

    #[test]
    fn the_fifo_beside_a_session_stops_nothing() {
        let machine = machine();
        let fifo = machine.places.sessions.join("1.ref");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &fifo,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
            0,
        )
        .unwrap();
        assert_eq!(machine.told(), (false, 0));
    }

    #[test]
    fn a_terminal_that_refuses_messages_is_a_person_and_its_owner_is_told() {
        let machine = machine();
        let path = machine.terminal("pts/0");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(machine.told(), (true, 1));
        assert_eq!(fs::read_to_string(&path).unwrap(), "hello");
    }

    #[test]
    fn a_terminal_that_cannot_be_written_to_is_a_person_not_told() {
        let machine = machine();
        fs::create_dir(machine.places.dev.join("pts/0")).unwrap();
        assert_eq!(machine.told(), (true, 0));
    }

    #[test]
    fn text_is_written_to_consoles_with_text_only() {
        let machine = machine();
        let path = machine.terminal("tty2");
        machine.session("1", "CLASS=user\nTYPE=wayland\nTTY=tty2\n");
        assert_eq!(machine.told(), (true, 0));
        assert_eq!(fs::read_to_string(&path).unwrap(), "");
        machine.session("1", "CLASS=user\nTYPE=tty\nTTY=tty2\n");
        assert_eq!(machine.told(), (true, 1));
    }

    #[test]
    fn a_console_given_to_a_person_is_somebody_and_a_login_screen_is_not() {
        let machine = machine();
        let path = machine.terminal("tty1");
        if fs::metadata(&path).unwrap().uid() == 0 {
            // Root's own is an idle console.
            assert_eq!(machine.told(), (false, 0));
            std::os::unix::fs::chown(&path, Some(1000), None).unwrap();
        }
        assert_eq!(machine.told(), (true, 0));
        machine.session("c1", "CLASS=greeter\nTYPE=wayland\nTTY=tty1\n");
        assert_eq!(machine.told(), (false, 0));
    }
}
