//! The configuration: one TOML file, read and checked once at the start. Every error names file, key and remedy.
//! `CHASQUI_SERVER_<TABLE>_<KEY>` in the environment (`CHASQUI_SERVER_STORE_URL`) goes before the file.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Where the packaged service looks.
pub const DEFAULT_PATH: &str = "/var/lib/chasqui-server/server.toml";

const ENV_PREFIX: &str = "CHASQUI_SERVER_";

/// What is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error(
        "{path}: cannot be read ({cause}); name another with --config, or make one with `chasqui-server init`"
    )]
    Unreadable {
        /// The file.
        path: String,
        /// What the system says.
        cause: std::io::Error,
    },
    /// Not TOML, an unknown key, or a value of the wrong type.
    #[error("{path}: {cause}")]
    Malformed {
        /// The file.
        path: String,
        /// The parser's words: line, key and what was expected.
        cause: String,
    },
    /// A value that cannot work.
    #[error("{path}: {key}: {problem}")]
    Invalid {
        /// The file.
        path: String,
        /// `table.key`.
        key: String,
        /// What is wrong and what to write instead.
        problem: String,
    },
}

/// The whole configuration.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Name of the organisation: 1 to 63 of `a-z`, `0-9`, `-`, `.`; it stands in every device certificate.
    pub organisation: String,
    /// Data folder: private authority, keys, and the database unless it is elsewhere. Relative to the file's folder.
    pub data: PathBuf,
    /// The database.
    pub store: StoreConfig,
    /// The agents' listener.
    pub agents: AgentsConfig,
    /// The people's listener.
    pub people: PeopleConfig,
    /// Sessions and passwords.
    #[serde(default)]
    pub sessions: SessionsConfig,
    /// Devices and their link.
    #[serde(default)]
    pub devices: DevicesConfig,
    /// Logs.
    #[serde(default)]
    pub log: LogConfig,
    /// How long stopping may take, seconds: 1 to 300.
    #[serde(default = "default_stop_seconds")]
    pub stop_seconds: u64,
}

/// `[store]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreConfig {
    /// `sqlite:PATH` or `postgresql://...`. A relative path is taken from the data folder.
    pub url: String,
}

/// `[agents]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentsConfig {
    /// Address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Address as agents dial it, `https://host:port`. Empty: made from the certificate's first name and the port.
    #[serde(default)]
    pub url: String,
    /// Host names and addresses in the listener's certificate.
    pub names: Vec<String>,
    /// Open connections at most.
    #[serde(default = "default_agent_connections")]
    pub max_connections: usize,
    /// Open connections at most from one address. Many machines may share one behind address translation.
    #[serde(default = "default_agent_connections_per_source")]
    pub max_connections_per_source: usize,
}

/// `[people]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeopleConfig {
    /// Address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Certificate chain, PEM. Needed unless `listen` is a loopback address.
    #[serde(default)]
    pub certificate: Option<PathBuf>,
    /// Its private key, PEM.
    #[serde(default)]
    pub key: Option<PathBuf>,
    /// Open connections at most.
    #[serde(default = "default_people_connections")]
    pub max_connections: usize,
}

/// `[sessions]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SessionsConfig {
    /// A session ends after this whatever happens, hours: 1 to 720.
    pub max_hours: u32,
    /// A session ends after this without a call, minutes: 1 to 43,200.
    pub idle_minutes: u32,
    /// Password hashes computed at once; each takes 19 MiB. 1 to 64.
    pub hashes_at_once: usize,
    /// Failed log-ins of one account within a quarter of an hour before it waits. 3 to 1,000.
    pub failures_per_account: u32,
    /// The same for one address.
    pub failures_per_source: u32,
}

/// `[devices]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DevicesConfig {
    /// Validity of a device certificate, days: 1 to 397.
    pub certificate_days: u32,
    /// How often an agent says that it lives, seconds: 10 to 3,600.
    pub beat_seconds: u32,
    /// How often an agent observes its machine, seconds: 60 to 604,800.
    pub inventory_seconds: u32,
    /// Longest wait of an agent before it reconnects, seconds: 1 to 3,600.
    pub reconnect_cap_seconds: u32,
    /// How often waiting orders are looked for, seconds: 1 to 3,600.
    pub sweep_seconds: u32,
    /// How long is kept what a machine's inventory was before, days: 1 to 36,500.
    pub history_days: u32,
}

/// `[log]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// `text` or `json`.
    pub format: LogFormat,
    /// A level, or directives as `info,chasqui_server=debug`.
    pub level: String,
}

/// Form of the logs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for SessionsConfig {
    fn default() -> Self {
        Self {
            max_hours: 12,
            idle_minutes: 120,
            hashes_at_once: 2,
            failures_per_account: 10,
            failures_per_source: 100,
        }
    }
}

impl Default for DevicesConfig {
    fn default() -> Self {
        Self {
            certificate_days: 30,
            beat_seconds: 300,
            inventory_seconds: 4 * 3600,
            reconnect_cap_seconds: 300,
            sweep_seconds: 30,
            history_days: 730,
        }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            format: LogFormat::Text,
            level: "info".to_owned(),
        }
    }
}

fn default_stop_seconds() -> u64 {
    20
}

fn default_agent_connections() -> usize {
    50_000
}

fn default_agent_connections_per_source() -> usize {
    25_000
}

fn default_people_connections() -> usize {
    2_000
}

impl Config {
    /// Reads, overrides from the environment and checks.
    ///
    /// # Errors
    /// [`ConfigError`] naming the file, the key and the remedy.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|cause| ConfigError::Unreadable {
            path: path.display().to_string(),
            cause,
        })?;
        Self::parse(path, &text, std::env::vars())
    }

    /// [`load`](Self::load) from text and an explicit environment.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn parse(
        path: &Path,
        text: &str,
        env: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let malformed = |cause: String| ConfigError::Malformed {
            path: path.display().to_string(),
            cause,
        };
        let mut table: toml::Table = text
            .parse()
            .map_err(|e: toml::de::Error| malformed(e.to_string()))?;
        for (name, value) in env {
            if let Some(name) = name.strip_prefix(ENV_PREFIX) {
                put(&mut table, name, &value).map_err(|problem| {
                    malformed(format!("environment {ENV_PREFIX}{name}: {problem}"))
                })?;
            }
        }
        let mut config: Self = table
            .try_into()
            .map_err(|e: toml::de::Error| malformed(explain(&e)))?;
        config.resolve(path);
        config.check(path)?;
        Ok(config)
    }

    /// Relative paths are meant from the file's folder, the database's from the data folder.
    fn resolve(&mut self, path: &Path) {
        let folder = path.parent().unwrap_or(Path::new("."));
        self.data = folder.join(&self.data);
        for file in [&mut self.people.certificate, &mut self.people.key]
            .into_iter()
            .flatten()
        {
            *file = folder.join(&*file);
        }
        if let Some(file) = chasqui_store::sqlite_path(&self.store.url) {
            self.store.url = format!("sqlite:{}", self.data.join(file).display());
        }
    }

    fn check(&self, path: &Path) -> Result<(), ConfigError> {
        let invalid = |key: &str, problem: String| {
            Err(ConfigError::Invalid {
                path: path.display().to_string(),
                key: key.to_owned(),
                problem,
            })
        };
        if !is_organisation(&self.organisation) {
            return invalid(
                "organisation",
                format!("{:?}: {ORGANISATION_RULE}", self.organisation),
            );
        }
        if self.agents.names.is_empty() || self.agents.names.len() > 32 {
            return invalid(
                "agents.names",
                "write 1 to 32 host names or addresses agents dial".to_owned(),
            );
        }
        if !self.agents.url.is_empty() && !self.agents.url.starts_with("https://") {
            return invalid(
                "agents.url",
                "must begin with https:// (agents speak TLS only)".to_owned(),
            );
        }
        match (&self.people.certificate, &self.people.key) {
            (Some(_), Some(_)) => {}
            (None, None) if self.people.listen.ip().is_loopback() => {}
            (None, None) => {
                return invalid(
                    "people.listen",
                    format!(
                        "{} is not a loopback address: set people.certificate and people.key, or listen on 127.0.0.1",
                        self.people.listen
                    ),
                );
            }
            _ => {
                return invalid(
                    "people.certificate",
                    "set both people.certificate and people.key, or none".to_owned(),
                );
            }
        }
        let s = &self.sessions;
        let d = &self.devices;
        for (key, value, least, most) in [
            ("stop_seconds", self.stop_seconds, 1, 300),
            (
                "agents.max_connections",
                wide(self.agents.max_connections),
                1,
                1_000_000,
            ),
            (
                "agents.max_connections_per_source",
                wide(self.agents.max_connections_per_source),
                1,
                1_000_000,
            ),
            (
                "people.max_connections",
                wide(self.people.max_connections),
                1,
                100_000,
            ),
            ("sessions.max_hours", s.max_hours.into(), 1, 720),
            ("sessions.idle_minutes", s.idle_minutes.into(), 1, 43_200),
            ("sessions.hashes_at_once", wide(s.hashes_at_once), 1, 64),
            (
                "sessions.failures_per_account",
                s.failures_per_account.into(),
                3,
                1_000,
            ),
            (
                "sessions.failures_per_source",
                s.failures_per_source.into(),
                3,
                100_000,
            ),
            (
                "devices.certificate_days",
                d.certificate_days.into(),
                1,
                397,
            ),
            ("devices.beat_seconds", d.beat_seconds.into(), 10, 3_600),
            (
                "devices.inventory_seconds",
                d.inventory_seconds.into(),
                60,
                604_800,
            ),
            (
                "devices.reconnect_cap_seconds",
                d.reconnect_cap_seconds.into(),
                1,
                3_600,
            ),
            ("devices.sweep_seconds", d.sweep_seconds.into(), 1, 3_600),
            ("devices.history_days", d.history_days.into(), 1, 36_500),
        ] {
            if !(least..=most).contains(&value) {
                return invalid(key, format!("{value} is outside {least} to {most}"));
            }
        }
        if let Err(cause) = tracing_subscriber::EnvFilter::try_new(&self.log.level) {
            return invalid(
                "log.level",
                format!("{cause}: write error, warn, info, debug or trace"),
            );
        }
        Ok(())
    }

    /// The data folder's file or folder of this name.
    pub fn data_file(&self, name: &str) -> PathBuf {
        self.data.join(name)
    }
}

/// What an organisation's name may hold: it is the trust domain of device certificates.
pub const ORGANISATION_RULE: &str =
    "write 1 to 63 characters out of a-z, 0-9, '-' and '.', beginning with a letter or digit";

/// Whether a name fits [`ORGANISATION_RULE`].
pub fn is_organisation(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    (1..=63).contains(&name.len())
        && name.chars().all(fits)
        && name
            .chars()
            .next()
            .is_some_and(|c| c.is_ascii_alphanumeric())
}

fn wide(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

/// Sets `STORE_URL` as `store.url`, `STOP_SECONDS` as `stop_seconds`. A value that reads as an integer or as a list is
/// one; everything else is text.
fn put(table: &mut toml::Table, name: &str, value: &str) -> Result<(), String> {
    const TABLES: [&str; 6] = ["store", "agents", "people", "sessions", "devices", "log"];
    let name = name.to_ascii_lowercase();
    let value = match value.parse::<i64>() {
        Ok(number) => toml::Value::Integer(number),
        Err(_) if value.starts_with('[') => format!("v = {value}")
            .parse::<toml::Table>()
            .ok()
            .and_then(|mut table| table.remove("v"))
            .ok_or("not a list: write [\"a\", \"b\"]")?,
        Err(_) => toml::Value::String(value.to_owned()),
    };
    let inner = name
        .split_once('_')
        .filter(|(first, _)| TABLES.contains(first));
    match inner {
        Some((first, key)) => {
            let entry = table
                .entry(first.to_owned())
                .or_insert_with(|| toml::Value::Table(toml::Table::new()));
            let toml::Value::Table(entry) = entry else {
                return Err(format!("{first} is not a table in the file"));
            };
            entry.insert(key.to_owned(), value);
        }
        None => {
            table.insert(name, value);
        }
    }
    Ok(())
}

/// serde's words, with what to do about the commonest of them.
fn explain(error: &toml::de::Error) -> String {
    let text = error.to_string();
    let text = text.trim_end();
    if text.contains("unknown field") {
        format!("{text}\nremove the key or correct its name")
    } else if text.contains("missing field") {
        format!("{text}\nadd the key; `chasqui-server init` writes a complete file")
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        organisation = "example"
        data = "data"
        [store]
        url = "sqlite:chasqui.db"
        [agents]
        listen = "0.0.0.0:7443"
        names = ["chasqui.example.org"]
        [people]
        listen = "127.0.0.1:7080"
    "#;

    fn parse(text: &str, env: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        Config::parse(Path::new("/etc/chasqui/server.toml"), text, env)
    }

    #[test]
    fn paths_are_meant_from_the_file() {
        let config = parse(GOOD, &[]).unwrap();
        assert_eq!(config.data, Path::new("/etc/chasqui/data"));
        assert_eq!(config.store.url, "sqlite:/etc/chasqui/data/chasqui.db");
    }

    #[test]
    fn the_environment_goes_first() {
        let config = parse(
            GOOD,
            &[
                ("CHASQUI_SERVER_STORE_URL", "postgresql://u@h/d"),
                ("CHASQUI_SERVER_STOP_SECONDS", "7"),
                ("CHASQUI_SERVER_AGENTS_NAMES", "[\"a\", \"b\"]"),
                ("CHASQUI_SERVER_LOG_FORMAT", "json"),
                ("CHASQUI_CLOCK_OFFSET_MS", "1"),
            ],
        )
        .unwrap();
        assert_eq!(config.store.url, "postgresql://u@h/d");
        assert_eq!(config.stop_seconds, 7);
        assert_eq!(config.agents.names, ["a", "b"]);
        assert_eq!(config.log.format, LogFormat::Json);
    }

    #[test]
    fn an_error_names_file_and_key_and_remedy() {
        for (from, to, words) in [
            ("[store]", "[stor]", vec!["server.toml", "stor"]),
            (
                "url =",
                "urk =",
                vec!["server.toml", "urk", "remove the key"],
            ),
            (
                "127.0.0.1:7080",
                "0.0.0.0:7080",
                vec!["people.listen", "people.certificate"],
            ),
            ("\"example\"", "\"Ex ample\"", vec!["organisation", "a-z"]),
            (
                "names = [\"chasqui.example.org\"]",
                "names = []",
                vec!["agents.names"],
            ),
            (
                "organisation = \"example\"",
                "",
                vec!["organisation", "add the key"],
            ),
            (
                "[store]",
                "[devices]\ncertificate_days = 4000\n[store]",
                vec!["devices.certificate_days", "397"],
            ),
        ] {
            let text = GOOD.replace(from, to);
            assert_ne!(text, GOOD);
            let error = parse(&text, &[]).unwrap_err().to_string();
            for word in words {
                assert!(error.contains(word), "{word:?} is not in: {error}");
            }
        }
        let error = parse(GOOD, &[("CHASQUI_SERVER_STORE_URK", "x")]).unwrap_err();
        assert!(error.to_string().contains("urk"), "{error}");
    }
}
