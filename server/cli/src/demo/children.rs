//! The coordinator and the agent as child processes. They end with the demo in every case: asked first, then made to, and
//! by the kernel when the demo itself is killed.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};

use crate::failure::{Exit, Failure, Outcome};
use crate::output::clean;

/// How long a child may take to end by itself.
const ENDING: Duration = Duration::from_secs(3);
/// Lines of a log shown when something failed.
const LOG_LINES: usize = 12;

/// How the demo starts its programs.
#[derive(Clone, Debug)]
pub struct Programs {
    own: PathBuf,
    /// `chasqui-server`.
    pub server: PathBuf,
    /// `chasqui-agent`.
    pub agent: PathBuf,
    /// Folder of logs.
    pub logs: PathBuf,
    /// Language of the children.
    pub lang: &'static str,
}

impl Programs {
    /// The programs beside this one.
    pub fn find(logs: PathBuf, lang: &'static str) -> Outcome<Self> {
        let own = std::env::current_exe()?;
        let folder = own.parent().unwrap_or(Path::new("."));
        let find = |name: &str| {
            let path = folder.join(name);
            if path.is_file() {
                Ok(path)
            } else {
                let shown = path.display();
                Err(Failure::new(
                    Exit::NotFound,
                    "DEMO_PROGRAM_MISSING",
                    format!("falta el programa {shown}"),
                    format!("the program {shown} is missing"),
                )
                .hint(
                    "constrúyalos todos con: cargo build --release",
                    "build all of them with: cargo build --release",
                ))
            }
        };
        Ok(Self {
            server: find("chasqui-server")?,
            agent: find("chasqui-agent")?,
            own: own.clone(),
            logs,
            lang,
        })
    }

    /// Starts a program with its output in a log. `only`: the one folder it may see besides the system's.
    pub fn start(
        &self,
        name: &'static str,
        program: &Path,
        args: &[&OsStr],
        only: Option<&Path>,
    ) -> Outcome<Running> {
        let log_path = self.logs.join(format!("{name}.log"));
        let log = File::options()
            .create(true)
            .append(true)
            .open(&log_path)
            .map_err(|error| Failure::file(&log_path, &error))?;
        let mut command = Command::new(&self.own);
        command
            .arg("demo-child")
            .arg("--parent")
            .arg(std::process::id().to_string());
        if let Some(only) = only {
            // The database may spill into temporary files; it sees no other folder to put them in.
            command.arg("--only").arg(only).env("TMPDIR", only);
        }
        command.arg("--").arg(program).args(args);
        for (name, _) in std::env::vars_os() {
            // The demo's programs take their settings from the demo alone.
            if is_setting(&name) {
                command.env_remove(&name);
            }
        }
        let child = command
            .env(
                "LC_ALL",
                if self.lang == "es" {
                    "es_CO.UTF-8"
                } else {
                    "C.UTF-8"
                },
            )
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| Failure::file(&self.own, &error))?;
        Ok(Running {
            name,
            child,
            log: log_path,
        })
    }

    /// Runs a program to its end.
    pub async fn finish(
        &self,
        name: &'static str,
        program: &Path,
        args: &[&OsStr],
        only: Option<&Path>,
    ) -> Outcome {
        let mut running = self.start(name, program, args, only)?;
        let status = running.child.wait().await?;
        if status.success() {
            Ok(())
        } else {
            Err(running.failed(status))
        }
    }
}

fn is_setting(name: &OsString) -> bool {
    name.to_str().is_some_and(|name| {
        (name.starts_with("CHASQUI_SERVER_")
            || name.starts_with("CHASQUI_AGENT_")
            || name == "CHASQUI_CONFIG")
            && name != "CHASQUI_AGENT_LOG"
    })
}

/// A child that runs.
#[derive(Debug)]
pub struct Running {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Fails if the program ended by itself.
    pub fn check(&mut self) -> Outcome {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(self.failed(status)),
        }
    }

    /// Asks it to end, and makes it when it does not.
    pub async fn stop(&mut self) {
        self.signal(Signal::TERM);
        if tokio::time::timeout(ENDING, self.child.wait())
            .await
            .is_err()
        {
            self.signal(Signal::KILL);
            let _ = self.child.wait().await;
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = self
            .child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _ = kill_process_group(pid, signal);
        }
    }

    /// What it wrote last, for a failure.
    pub fn failed(&self, status: ExitStatus) -> Failure {
        let name = self.name;
        let mut failure = Failure::new(
            Exit::Failed,
            "DEMO_PROGRAM_FAILED",
            format!("{name} terminó con: {status}"),
            format!("{name} ended with: {status}"),
        );
        failure.details = self.last_lines();
        failure
    }

    /// The last lines of the log.
    pub fn last_lines(&self) -> Vec<(String, String)> {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let from = lines.len().saturating_sub(LOG_LINES);
        lines
            .into_iter()
            .skip(from)
            .map(|line| (self.name.to_owned(), clean(line)))
            .collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // An early return or a panic: the group goes at once. A child that was stopped has no id any more.
        self.signal(Signal::KILL);
    }
}
