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
use chasqui_base::text::Text;
use chasqui_trust::definition::{self, Priority, StopPolicy, is_interpreter};
use process_wrap::tokio::{ChildWrapper, CommandWrap, KillOnDrop, ProcessGroup};
use rustix::process::{Pid, Signal};
use serde_json::Value;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio_util::sync::CancellationToken;

use super::builtin::{self, Boxed, Finding, Work, fact};
use super::cgroup::{Group, Holds};
use crate::output::Output;

/// Of programs that give way to the person's.
const LOW_PRIORITY: i32 = 10;

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

/// How long a program may run, what ends it earlier, and what it may take of the machine.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Longest run.
    pub time: Duration,
    /// Ends it earlier.
    pub cancel: CancellationToken,
    /// Leaves what must be let finish to itself: this agent ends.
    pub leave: CancellationToken,
    /// What it may take.
    pub bounds: Bounds,
    /// Variables besides those that every step gets.
    pub env: &'static [(&'static str, &'static str)],
}

/// What a program may take of the machine, and how it is ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Memory, processor and processes.
    pub limits: definition::Limits,
    /// Whether it is ended at all.
    pub stop: StopPolicy,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            limits: definition::Limits::default(),
            stop: StopPolicy::EndTree { grace_ms: 5_000 },
        }
    }
}

impl Limits {
    /// These limits and no others.
    pub fn new(time: Duration, cancel: CancellationToken) -> Self {
        Self {
            time,
            cancel,
            leave: CancellationToken::new(),
            bounds: Bounds::default(),
            env: &[],
        }
    }
}

/// A program of a definition, as step or check.
#[derive(Clone, Debug)]
pub struct Program {
    /// Absolute.
    pub path: String,
    /// As they are passed.
    pub args: Vec<String>,
    /// Exit codes that mean it worked.
    pub success_codes: Vec<i64>,
}

impl Program {
    async fn run(&self, work: &Work<'_>) -> Ended {
        let limits = work.control.limits(work.limit);
        run(&self.path, &self.args, &limits, &work.control.output).await
    }

    fn is_success(&self, ended: &Ended) -> bool {
        ended
            .exit_code
            .is_some_and(|code| self.success_codes.contains(&code))
    }
}

impl builtin::Step for Program {
    fn run<'a>(&'a self, work: &'a Work<'a>) -> Boxed<'a, builtin::Ended> {
        Box::pin(async {
            let ended = self.run(work).await;
            builtin::Ended {
                worked: self.is_success(&ended),
                exit_code: ended.exit_code,
                note: ended.note,
                said: Value::Null,
            }
        })
    }
}

impl builtin::Check for Program {
    fn observe<'a>(&'a self, _: &'a Work<'a>) -> Boxed<'a, Value> {
        Box::pin(async { Value::Null })
    }

    fn judge<'a>(&'a self, _: &'a Value, _: &'a Value, work: &'a Work<'a>) -> Boxed<'a, Finding> {
        Box::pin(async {
            let ended = self.run(work).await;
            let none: Option<i64> = None;
            let said = match ended.exit_code {
                Some(code) => code.to_string(),
                None => ended.note.clone(),
            };
            Finding {
                holds: self.is_success(&ended),
                facts: vec![fact("exit_code", none, ended.exit_code, "")],
                explanation: Text::new(
                    format!("la comprobación respondió {said}"),
                    format!("the check answered {said}"),
                ),
            }
        })
    }
}

/// Runs a tool of the system for its words: what it printed, at most a megabyte, and how it ended. Nothing of it goes to
/// the action's output.
pub async fn ask(path: &str, args: &[&str], time: Duration) -> (Ended, String) {
    let output = Output::default();
    let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    let limits = Limits::new(time, CancellationToken::new());
    let ended = run(path, &args, &limits, &output).await;
    (ended, String::from_utf8_lossy(&output.kept()).into_owned())
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
    let group = Group::make(&mark, &limits.bounds.limits, Path::new("/"));
    let holds = group.as_ref().map(Group::holds).unwrap_or_default();
    let memory = limits.bounds.limits.memory_bytes.filter(|_| !holds.memory);
    let limiter = memory.and_then(|bytes| Some((limiter()?, bytes)));
    say_unbounded(&limits.bounds.limits, holds, limiter.is_some(), output);
    let (mut child, reader) = match spawn(path, args, limits, limiter, &mark) {
        Ok(spawned) => spawned,
        Err(error) => {
            return Ended {
                exit_code: None,
                note: format!("could not be started: {error}"),
            };
        }
    };
    if let Some(pid) = pid_of(child.as_ref()) {
        if limits.bounds.limits.priority == Priority::Low {
            let _ = rustix::process::setpriority_pgrp(Some(pid), LOW_PRIORITY);
        }
        if group.as_ref().is_some_and(|group| !group.take(pid)) {
            output.line("limits: the program could not be put into its cgroup");
        }
    }
    let mut reading = Box::pin(read_all(reader, output));
    let mut read_to_end = false;
    let sleep = tokio::time::sleep(limits.time);
    tokio::pin!(sleep);
    let lets_finish = limits.bounds.stop == StopPolicy::LetFinish;
    let mut over = None;
    let why = loop {
        tokio::select! {
            () = &mut reading, if !read_to_end => read_to_end = true,
            status = wait_leader(child.as_mut()) => break Why::Exit(status),
            () = &mut sleep, if over.is_none() => over = Some("time limit"),
            () = limits.cancel.cancelled(), if over.is_none() => over = Some("cancelled"),
            () = limits.leave.cancelled(), if lets_finish => break Why::Left,
        }
        if let Some(note) = over
            && !lets_finish
        {
            break Why::Stopped(note);
        }
    };
    let ended = match (why, over) {
        (Why::Exit(status), None) => ended_of(status),
        // Ending it in the middle would leave more harm than its end; people hear that it was not ended.
        (Why::Exit(status), Some(note)) => {
            let mut ended = ended_of(status);
            ended.note = format!("{note}, let finish {}", ended.note)
                .trim_end()
                .to_owned();
            ended
        }
        (Why::Left, _) => Ended {
            exit_code: None,
            note: LEFT.to_owned(),
        },
        (Why::Stopped(note), _) => {
            let grace = match limits.bounds.stop {
                StopPolicy::EndTree { grace_ms } => clock::duration_ms(grace_ms),
                StopPolicy::LetFinish => Duration::ZERO,
            };
            end_tree(child.as_mut(), grace, &mut reading, &mut read_to_end).await;
            end_marked(&mark, group.as_ref()).await;
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

/// The note of a program that goes on without this agent.
pub const LEFT: &str = "left running";

fn pid_of(child: &dyn ChildWrapper) -> Option<Pid> {
    child
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .and_then(Pid::from_raw)
}

/// A program of util-linux that limits itself and then becomes the other: so that the limit holds from its first byte on.
fn limiter() -> Option<&'static str> {
    ["/usr/bin/prlimit", "/bin/prlimit"]
        .into_iter()
        .find(|path| check_file(path).is_ok())
}

/// What cannot be bounded is said where people read.
fn say_unbounded(limits: &definition::Limits, holds: Holds, limiter: bool, output: &Output) {
    if limits.memory_bytes.is_some() && !holds.memory {
        output.line(if limiter {
            "limits: memory of each process (no cgroup for all together)"
        } else {
            "limits: memory is not bounded here (neither cgroup nor prlimit)"
        });
    }
    if limits.cpu_percent.is_some() && !holds.cpu {
        output.line("limits: processor time is not bounded here (no cgroup)");
    }
    if limits.processes.is_some() && !holds.processes {
        output.line("limits: the number of processes is not bounded here (no cgroup)");
    }
}

enum Why {
    Exit(std::io::Result<ExitStatus>),
    Stopped(&'static str),
    Left,
}

fn spawn(
    path: &str,
    args: &[String],
    limits: &Limits,
    limiter: Option<(&str, u64)>,
    mark: &str,
) -> std::io::Result<(Box<dyn ChildWrapper>, pipe::Receiver)> {
    let (reader, writer) = std::io::pipe()?;
    let errors = writer.try_clone()?;
    let program = limiter.map_or(path, |(limiter, _)| limiter);
    let mut command = CommandWrap::with_new(Path::new(program), |command| {
        if let Some((_, bytes)) = limiter {
            command.arg(format!("--as={bytes}")).arg("--").arg(path);
        }
        command
            .args(args)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            // Words are for people; programs are read by exit code, and by words in one fixed language.
            .env("LANG", "C.UTF-8")
            .env("LC_ALL", "C.UTF-8")
            .env(MARK, mark)
            .envs(limits.env.iter().copied())
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::from(writer))
            .stderr(Stdio::from(errors));
    });
    command.wrap(ProcessGroup::leader());
    if limits.bounds.stop != StopPolicy::LetFinish {
        command.wrap(KillOnDrop);
    }
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

/// Ends the group, first asking, then by force.
async fn end_tree<F: Future<Output = ()> + Unpin>(
    child: &mut dyn ChildWrapper,
    grace: Duration,
    reading: &mut F,
    read_to_end: &mut bool,
) {
    let Some(group) = pid_of(child) else { return };
    let _ = rustix::process::kill_process_group(group, Signal::TERM);
    let sleep = tokio::time::sleep(grace);
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

/// Ends what left the group: all of the cgroup at once where there is one, and whatever carries the mark.
async fn end_marked(mark: &str, group: Option<&Group>) {
    if let Some(group) = group {
        group.kill();
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
