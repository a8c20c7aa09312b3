//! The shipped programs as processes: found beside the test's own executable, started in a process group of their own,
//! and ended with the test whatever happens to it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use chasqui_base::clock;

/// Path of a built program, `chasqui-server` say.
///
/// # Errors
/// When it was not built: `tests/run` builds all programs first.
pub fn path(name: &str) -> Result<PathBuf> {
    // Measurements name the build that people install: CHASQUI_PROGRAM_AGENT for `chasqui-agent`.
    let variable = name.replace("chasqui-", "CHASQUI_PROGRAM_").to_uppercase();
    if let Some(named) = std::env::var_os(variable) {
        // Programs start with folders of their own.
        return Ok(PathBuf::from(named).canonicalize()?);
    }
    let own = std::env::current_exe()?;
    // target/<profile>/deps/<test> -> target/<profile>/<program>
    let folder = own
        .parent()
        .and_then(Path::parent)
        .context("the test has no folder")?;
    let path = folder.join(name);
    if path.is_file() {
        return Ok(path);
    }
    // A bench is always built for release, the programs perhaps not; it says which one it measures.
    let debug = folder.with_file_name("debug").join(name);
    if debug.is_file() {
        return Ok(debug);
    }
    bail!(
        "{} is not built: run  cargo build --workspace --bins  (tests/run builds it)",
        path.display()
    );
}

/// Lets this process, and the programs it starts from now on, open as many files as the system allows.
///
/// # Errors
/// What the system says.
pub fn raise_open_files() -> Result<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let wanted = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, wanted)?;
    Ok(limit.maximum.unwrap_or(u64::MAX))
}

/// A command for a built program with an environment that names no person's configuration.
///
/// # Errors
/// When it was not built.
pub fn command(name: &str) -> Result<Command> {
    let mut command = Command::new(path(name)?);
    command
        .env_remove("CHASQUI_FAULT")
        .env_remove("CHASQUI_CLOCK_OFFSET_MS")
        .env_remove("HTTPS_PROXY")
        .env_remove("https_proxy")
        .env("LANG", "en_US.UTF-8")
        .env_remove("LC_ALL")
        .env_remove("LC_MESSAGES");
    Ok(command)
}

/// The same command started by another program, given with its first arguments: `unshare -m` say. Nothing of an empty one.
pub fn within(command: Command, surroundings: &[String]) -> Command {
    let Some((first, rest)) = surroundings.split_first() else {
        return command;
    };
    let mut outer = Command::new(first);
    outer
        .args(rest)
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    outer
}

/// A running program. Dropping it kills its whole process group.
#[derive(Debug)]
pub struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Starts a command in its own process group, with output and errors in the file `log` (appended).
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(mut command: Command, log: &Path) -> Result<Self> {
        use std::os::unix::process::CommandExt;
        let file = File::options().create(true).append(true).open(log)?;
        command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .process_group(0);
        let child = command
            .spawn()
            .with_context(|| format!("starting {:?}", command.get_program()))?;
        Ok(Self {
            child,
            log: log.to_owned(),
        })
    }

    /// Its process id, which is also its group.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its exit, when it has ended.
    ///
    /// # Errors
    /// What the system says.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it still runs after `limit`.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let begun = clock::monotonic();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if begun.elapsed() > limit {
                bail!(
                    "process {} still runs after {limit:?}; its log:\n{}",
                    self.pid(),
                    self.log()
                );
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Asks it to stop, as a service manager does, and waits.
    ///
    /// # Errors
    /// When it does not stop within 20 seconds.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        self.signal(rustix::process::Signal::TERM)?;
        self.wait(Duration::from_secs(20))
    }

    /// Ends it as a power cut would: no handler runs.
    ///
    /// # Errors
    /// What the system says.
    pub fn kill(&mut self) -> Result<ExitStatus> {
        self.signal(rustix::process::Signal::KILL)?;
        self.wait(Duration::from_secs(20))
    }

    /// Sends a signal to the whole group.
    ///
    /// # Errors
    /// What the system says.
    pub fn signal(&self, signal: rustix::process::Signal) -> Result<()> {
        let raw = i32::try_from(self.child.id())?;
        let Some(group) = rustix::process::Pid::from_raw(raw) else {
            bail!("no process {raw}");
        };
        match rustix::process::kill_process_group(group, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// What it wrote so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_else(|error| format!("(no log: {error})"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            let last = lines
                .get(lines.len().saturating_sub(60)..)
                .unwrap_or(&lines);
            eprintln!("--- {}\n{}", self.log.display(), last.join("\n"));
        }
        // The test ends whatever these say: the group may be gone already.
        let _ = self.signal(rustix::process::Signal::KILL);
        let _ = self.child.wait();
    }
}

/// Status of a page of the people's listener, `/healthz` say, asked over a connection of its own.
///
/// # Errors
/// When nobody answers with HTTP.
pub fn http_status(people_url: &str, page: &str) -> Result<u16> {
    use std::io::{Read as _, Write as _};
    let address = people_url
        .strip_prefix("http://")
        .context("not plain HTTP")?;
    let mut stream = std::net::TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    write!(
        stream,
        "GET {page} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    answer
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3))
        .and_then(|code| code.parse().ok())
        .with_context(|| format!("no HTTP answer: {answer:?}"))
}

/// Waits until `look` finds something.
///
/// # Errors
/// Names `what` when it is not there after `limit`.
pub fn wait_for<T>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let begun = clock::monotonic();
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if begun.elapsed() > limit {
            bail!("{what}: not there after {limit:?}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The same for something asked over the network.
///
/// # Errors
/// Names `what` when it is not there after `limit`.
pub async fn wait_until<T, F>(what: &str, limit: Duration, mut look: F) -> Result<T>
where
    F: AsyncFnMut() -> Result<Option<T>>,
{
    let begun = clock::monotonic();
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        if begun.elapsed() > limit {
            bail!("{what}: not there after {limit:?}");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Reads a file that another program is about to write whole.
///
/// # Errors
/// Any but "not there yet".
pub fn read_if_there(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
