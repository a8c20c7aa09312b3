//! Real agents as processes, each with a state folder of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::fleet::TestFleet;
use crate::programs::{self, Running, wait_until};

/// A real agent. Ends with the test.
#[derive(Debug)]
pub struct Agent {
    /// Holds configuration, policy and state.
    pub folder: PathBuf,
    /// The id it got at enrolment.
    pub device_id: String,
    /// A program that starts it from now on, with its first arguments; none when empty.
    pub within: Vec<String>,
    running: Option<Running>,
}

impl Agent {
    /// Writes its configuration: coordinator, root, state folder, a policy that confines file cleaning to `folder/temp`
    /// below the system's temporary folder.
    ///
    /// # Errors
    /// What the file system says.
    pub fn configure(fleet: &TestFleet, name: &str) -> Result<Self> {
        let folder = fleet.folder.path().join(name);
        fs::create_dir_all(folder.join("temp"))?;
        let quoted = |path: &Path| format!("{:?}", path.display().to_string());
        fs::write(
            folder.join("agent.toml"),
            format!(
                "server = \"{}\"\nstate_dir = {}\nroot = {}\npolicy = {}\nlog = \"info\"\n",
                fleet.server.agents_url,
                quoted(&folder.join("state")),
                quoted(&fleet.root_file()),
                quoted(&folder.join("policy.toml")),
            ),
        )?;
        fs::write(
            folder.join("policy.toml"),
            format!("temp_folders = [{}]\n", quoted(&folder.join("temp"))),
        )?;
        Ok(Self {
            folder,
            device_id: String::new(),
            within: Vec::new(),
            running: None,
        })
    }

    /// Configured, enrolled, running and connected.
    ///
    /// # Errors
    /// What a program or the coordinator says.
    pub async fn start(fleet: &TestFleet, name: &str) -> Result<Self> {
        let mut agent = Self::configure(fleet, name)?;
        let token = fleet.token(1).await?;
        agent.enrol(&token)?;
        agent.run(&[])?;
        agent.connected(fleet).await?;
        Ok(agent)
    }

    /// A command of `chasqui-agent` with this agent's configuration.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn command(&self, arguments: &[&str], env: &[(&str, &str)]) -> Result<Output> {
        let mut command = programs::command("chasqui-agent")?;
        command
            .args(arguments)
            .arg("--config")
            .arg(self.folder.join("agent.toml"))
            .envs(env.iter().copied());
        Ok(command.output()?)
    }

    /// Enrols with a token.
    ///
    /// # Errors
    /// What the program says.
    pub fn enrol(&mut self, token: &str) -> Result<()> {
        let mut enrolling = self.start_enrol(token, &[])?;
        let status = enrolling.wait(Duration::from_secs(60))?;
        if !status.success() {
            bail!(
                "chasqui-agent enrol ended with {status}: {}",
                enrolling.log()
            );
        }
        self.know_itself()
    }

    /// Begins to enrol, with more environment (`CHASQUI_FAULT` say).
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_enrol(&self, token: &str, env: &[(&str, &str)]) -> Result<Running> {
        let file = self.folder.join("token");
        fs::write(&file, token)?;
        let mut command = programs::command("chasqui-agent")?;
        command
            .args(["enrol", "--token-file"])
            .arg(file)
            .arg("--config")
            .arg(self.folder.join("agent.toml"))
            .envs(env.iter().copied());
        Running::start(command, &self.folder.join("enrol.log"))
    }

    /// Reads the id it got at enrolment.
    ///
    /// # Errors
    /// When it has no identity.
    pub fn know_itself(&mut self) -> Result<()> {
        let identity = fs::read_to_string(self.folder.join("state/identity.toml"))?;
        self.device_id = identity
            .lines()
            .find_map(|line| line.strip_prefix("device_id = "))
            .context("identity.toml names no device")?
            .trim_matches('"')
            .to_owned();
        Ok(())
    }

    /// Starts it, with more environment (`CHASQUI_FAULT` say).
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn run(&mut self, env: &[(&str, &str)]) -> Result<()> {
        let mut command = programs::command("chasqui-agent")?;
        command
            .args(["run", "--config"])
            .arg(self.folder.join("agent.toml"))
            .envs(env.iter().copied());
        let command = programs::within(command, &self.within);
        self.running = Some(Running::start(command, &self.folder.join("agent.log"))?);
        Ok(())
    }

    /// The process.
    ///
    /// # Errors
    /// When it does not run.
    pub fn process(&mut self) -> Result<&mut Running> {
        self.running.as_mut().context("the agent does not run")
    }

    /// Waits until the coordinator sees it.
    ///
    /// # Errors
    /// When it is not connected after 30 seconds.
    pub async fn connected(&mut self, fleet: &TestFleet) -> Result<()> {
        let device_id = self.device_id.clone();
        let connected = wait_until("the agent's stream", Duration::from_secs(30), async || {
            Ok(fleet.device(&device_id).await?.connected.then_some(()))
        })
        .await;
        connected.with_context(|| match &self.running {
            Some(running) => format!("agent log:\n{}", running.log()),
            None => "the agent was never started".to_owned(),
        })
    }

    /// The folder that its policy lets `disk.clean.temp` clean.
    pub fn temp(&self) -> PathBuf {
        self.folder.join("temp")
    }

    /// Puts a file of this age there.
    ///
    /// # Errors
    /// What the file system says.
    pub fn old_file(&self, name: &str, bytes: usize, days: u64) -> Result<PathBuf> {
        let path = self.temp().join(name);
        fs::write(&path, vec![b'x'; bytes])?;
        age(&path, days)?;
        Ok(path)
    }
}

/// Sets a file's times back by days.
///
/// # Errors
/// What the file system says.
pub fn age(path: &Path, days: u64) -> Result<()> {
    let file = fs::File::options().write(true).open(path)?;
    let modified = file.metadata()?.modified()? - Duration::from_secs(days * 86_400);
    file.set_times(
        fs::FileTimes::new()
            .set_modified(modified)
            .set_accessed(modified),
    )?;
    Ok(())
}
