//! A step that is a program: absolute path, argument vector, no shell, an empty environment, a process group of its own.
//! What it prints goes to the bounded output; when its time is over or it is called off, the whole tree ends.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use chasqui_base::clock;
use chasqui_trust::definition::is_interpreter;
use process_wrap::tokio::{ChildWrapper, CommandWrap, KillOnDrop, ProcessGroup};
use rustix::process::{Pid, Signal};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio_util::sync::CancellationToken;

use crate::output::Output;

/// Time between asking a tree to end and ending it.
const GRACE: Duration = Duration::from_secs(5);
/// How long what a finished program left in the pipe is still read, when something it started holds the pipe open.
const DRAIN: Duration = Duration::from_millis(500);
/// Marks every process of a step, so that those which left the group are found too.
const MARK: &str = "CHASQUI_STEP";

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// None when it did not exit by itself.
    pub exit_code: Option<i64>,
    /// `time limit`, `cancelled`, `signal 9`, or why it could not begin; empty when there is nothing to say.
    pub note: String,
}

/// What of a program cannot be changed by a definition.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Longest run.
    pub time: Duration,
    /// Ends it earlier.
    pub cancel: CancellationToken,
}

/// Whether this file may be run at all: the one the name leads to must not be an interpreter, and nobody but root (or
/// the agent's own account) may be able to change it.
pub fn check_file(path: &str) -> Result<(), String> {
    let real = fs::canonicalize(path).map_err(|error| format!("{path}: {error}"))?;
    let name = real
        .to_str()
        .ok_or_else(|| format!("{path} leads to a name that is not text"))?;
    if is_interpreter(name) && !is_interpreter(path) {
        return Err(format!("{path} leads to the interpreter {name}"));
    }
    let meta = fs::metadata(&real).map_err(|error| format!("{path}: {error}"))?;
    if !meta.is_file() || meta.permissions().mode() & 0o111 == 0 {
        return Err(format!("{path} is not a program"));
    }
    let own = rustix::process::geteuid().as_raw();
    if (meta.uid() != 0 && meta.uid() != own) || meta.permissions().mode() & 0o022 != 0 {
        return Err(format!("{path} can be changed by others than root"));
    }
    Ok(())
}

/// Runs it to its end, its limit, or its calling off.
pub async fn run(path: &str, args: &[String], limits: &Limits, output: &Output) -> Ended {
    let mark = clock::new_id().to_string();
    let (mut child, reader) = match spawn(path, args, &mark) {
        Ok(spawned) => spawned,
        Err(error) => {
            return Ended {
                exit_code: None,
                note: format!("could not be started: {error}"),
            };
        }
    };
    let mut reading = Box::pin(read_all(reader, output));
    let mut read_to_end = false;
    let sleep = tokio::time::sleep(limits.time);
    tokio::pin!(sleep);
    let why = loop {
        tokio::select! {
            () = &mut reading, if !read_to_end => read_to_end = true,
            status = wait_leader(child.as_mut()) => break Why::Exit(status),
            () = &mut sleep => break Why::Stopped("time limit"),
            () = limits.cancel.cancelled() => break Why::Stopped("cancelled"),
        }
    };
    let ended = match why {
        Why::Exit(status) => ended_of(status),
        Why::Stopped(note) => {
            end_tree(child.as_mut(), &mark, &mut reading, &mut read_to_end).await;
            Ended {
                exit_code: None,
                note: note.to_owned(),
            }
        }
    };
    if !read_to_end {
        // What was printed before the end belongs to it; a child that lives on may not hold the action open.
        let _ = tokio::time::timeout(DRAIN, reading).await;
    }
    ended
}

enum Why {
    Exit(std::io::Result<ExitStatus>),
    Stopped(&'static str),
}

fn spawn(
    path: &str,
    args: &[String],
    mark: &str,
) -> std::io::Result<(Box<dyn ChildWrapper>, pipe::Receiver)> {
    let (reader, writer) = std::io::pipe()?;
    let errors = writer.try_clone()?;
    let mut command = CommandWrap::with_new(Path::new(path), |command| {
        command
            .args(args)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            // Words are for people; programs are read by exit code, and by words in one fixed language.
            .env("LANG", "C.UTF-8")
            .env("LC_ALL", "C.UTF-8")
            .env(MARK, mark)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::from(writer))
            .stderr(Stdio::from(errors));
    });
    command.wrap(ProcessGroup::leader()).wrap(KillOnDrop);
    let child = command.spawn()?;
    // The command holds our writing ends; while it lives the pipe has no end.
    drop(command);
    let reader = pipe::Receiver::from_owned_fd(OwnedFd::from(reader))?;
    Ok((child, reader))
}

/// Waits for the program itself. Its children are not waited for: a service it started may live on.
async fn wait_leader(child: &mut dyn ChildWrapper) -> std::io::Result<ExitStatus> {
    child.inner_mut().wait().await
}

async fn read_all(mut reader: pipe::Receiver, output: &Output) {
    let mut buffer = vec![0u8; 16 * 1024];
    loop {
        match reader.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(count) => {
                if let Some(read) = buffer.get(..count) {
                    output.write(read);
                }
            }
        }
    }
}

/// Ends the group, first asking, then by force, and after that whatever carries the mark outside of it.
async fn end_tree<F: Future<Output = ()> + Unpin>(
    child: &mut dyn ChildWrapper,
    mark: &str,
    reading: &mut F,
    read_to_end: &mut bool,
) {
    let group = child
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .and_then(Pid::from_raw);
    if let Some(group) = group {
        let _ = rustix::process::kill_process_group(group, Signal::TERM);
        let sleep = tokio::time::sleep(GRACE);
        tokio::pin!(sleep);
        loop {
            tokio::select! {
                () = &mut *reading, if !*read_to_end => *read_to_end = true,
                _ = wait_leader(child) => break,
                () = &mut sleep => break,
            }
        }
        let _ = rustix::process::kill_process_group(group, Signal::KILL);
        let _ = wait_leader(child).await;
    }
    // A process may fork while it is looked for.
    for _ in 0..10 {
        if kill_marked(mark) == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn kill_marked(mark: &str) -> usize {
    let wanted = format!("{MARK}={mark}");
    let mut killed = 0;
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<i32>().ok())
            .and_then(Pid::from_raw)
        else {
            continue;
        };
        let marked = fs::read(entry.path().join("environ")).is_ok_and(|environ| {
            environ
                .split(|byte| *byte == 0)
                .any(|variable| variable == wanted.as_bytes())
        });
        if marked && rustix::process::kill_process(pid, Signal::KILL).is_ok() {
            killed += 1;
        }
    }
    killed
}

fn ended_of(status: std::io::Result<ExitStatus>) -> Ended {
    match status {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => Ended {
                exit_code: Some(i64::from(code)),
                note: String::new(),
            },
            (None, Some(signal)) => Ended {
                exit_code: None,
                note: format!("signal {signal}"),
            },
            (None, None) => Ended {
                exit_code: None,
                note: "ended without a code".to_owned(),
            },
        },
        Err(error) => Ended {
            exit_code: None,
            note: format!("could not be waited for: {error}"),
        },
    }
}
