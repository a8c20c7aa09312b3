//! The agent's configuration: one TOML file, each key replaceable by an environment variable `CHASQUI_AGENT_<KEY>`.
//! Checked once, at start; every error names the file, the key and the remedy. It holds no secret but a proxy password.

use std::path::{Path, PathBuf};

use chasqui_base::text::Text;
use serde::Deserialize;

use crate::failure::Failure;
use crate::proxy::Proxy;
use crate::tls::Address;

/// Where the configuration is when `--config` names no other file.
pub const DEFAULT_PATH: &str = "/etc/chasqui/agent.toml";
const DEFAULT_STATE_DIR: &str = "/var/lib/chasqui-agent";
const DEFAULT_ROOT: &str = "/etc/chasqui/root.json";
const DEFAULT_POLICY: &str = "/etc/chasqui/policy.toml";
const MAX_FILE: u64 = 64 * 1024;

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The configuration, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// The agents' listener; absent only where no command needs it.
    pub server: Option<Address>,
    /// Keys, journal, outbox, status.
    pub state_dir: PathBuf,
    /// The root of trust, brought by hand.
    pub root: PathBuf,
    /// Local policy, which only narrows.
    pub policy: PathBuf,
    /// Refuses any root of another organisation, when given.
    pub organisation: Option<String>,
    /// HTTP CONNECT proxy.
    pub proxy: Option<Proxy>,
    /// Filter of the logs, as in `info` or `info,chasqui_agent=debug`.
    pub log: String,
    /// Their form.
    pub log_format: LogFormat,
    /// Observe the machine this often, whatever the coordinator asks; milliseconds. For tests and small sites.
    pub inventory_every_ms: Option<i64>,
    /// Facts are read below this folder instead of `/`: a captured tree, or a mounted disk.
    pub facts_root: Option<PathBuf>,
    /// Whether the inventory names the people who have accounts and who logged in.
    pub inventory_names: bool,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    server: Option<String>,
    state_dir: Option<String>,
    root: Option<String>,
    policy: Option<String>,
    organisation: Option<String>,
    proxy: Option<String>,
    log: Option<String>,
    log_format: Option<String>,
    inventory_every_ms: Option<i64>,
    facts_root: Option<String>,
    inventory_names: Option<bool>,
}

impl Config {
    /// Reads the file (`given`, else [`DEFAULT_PATH`]) and the environment. A default file that is not there, or that
    /// this user may not read, is no error: environment and defaults may be enough (`status`, `history`).
    pub fn load(given: Option<&Path>) -> Result<Self, Failure> {
        let path = given.unwrap_or(Path::new(DEFAULT_PATH));
        let file = match read(path) {
            Ok(text) => parse(path, &text)?,
            Err(_) if given.is_none() => File::default(),
            Err(error) => {
                return Err(Failure::usage(
                    "CONFIG_UNREADABLE",
                    Text::new(
                        format!(
                            "no se puede leer la configuración {}: {error}",
                            path.display()
                        ),
                        format!(
                            "the configuration {} cannot be read: {error}",
                            path.display()
                        ),
                    ),
                ));
            }
        };
        Self::check(path, file, &|key| {
            std::env::var(format!("CHASQUI_AGENT_{key}"))
                .ok()
                .filter(|value| !value.is_empty())
        })
    }

    fn check(
        path: &Path,
        file: File,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Failure> {
        let bad = |key: &str, es: String, en: String| {
            let path = path.display();
            Failure::usage(
                "CONFIG_INVALID",
                Text::new(
                    format!("{path}: clave `{key}`: {es}"),
                    format!("{path}: key `{key}`: {en}"),
                ),
            )
        };
        let server = match env("SERVER").or(file.server) {
            None => None,
            Some(url) => match Address::parse(&url) {
                Some(address) => Some(address),
                None => {
                    return Err(bad(
                        "server",
                        format!("{url:?} no es una dirección: escriba https://equipo:puerto"),
                        format!("{url:?} is not an address: write https://host:port"),
                    ));
                }
            },
        };
        let folder = |key: &str, value: Option<String>, default: &str| {
            let value = PathBuf::from(value.unwrap_or_else(|| default.to_owned()));
            if value.is_absolute() {
                Ok(value)
            } else {
                Err(bad(
                    key,
                    format!("{} no es una ruta absoluta", value.display()),
                    format!("{} is not an absolute path", value.display()),
                ))
            }
        };
        let state_dir = folder(
            "state_dir",
            env("STATE_DIR").or(file.state_dir),
            DEFAULT_STATE_DIR,
        )?;
        let root = folder("root", env("ROOT").or(file.root), DEFAULT_ROOT)?;
        let policy = folder("policy", env("POLICY").or(file.policy), DEFAULT_POLICY)?;
        let facts_root = match env("FACTS_ROOT").or(file.facts_root) {
            Some(value) => Some(folder("facts_root", Some(value), "/")?),
            None => None,
        };
        let proxy = match env("PROXY").or(file.proxy) {
            Some(text) if text == "none" => None,
            Some(text) => match Proxy::parse(&text) {
                Ok(proxy) => Some(proxy),
                Err(why) => {
                    return Err(bad(
                        "proxy",
                        format!("{why}: escriba http://equipo:puerto o none"),
                        format!("{why}: write http://host:port or none"),
                    ));
                }
            },
            None => match server
                .as_ref()
                .map_or(Ok(None), |server| Proxy::from_environment(&server.host))
            {
                Ok(proxy) => proxy,
                Err(why) => {
                    return Err(bad(
                        "proxy",
                        format!(
                            "HTTPS_PROXY del entorno: {why}; corríjalo o ponga proxy = \"none\""
                        ),
                        format!(
                            "HTTPS_PROXY of the environment: {why}; mend it or set proxy = \"none\""
                        ),
                    ));
                }
            },
        };
        let log = env("LOG").or(file.log).unwrap_or_else(|| "info".to_owned());
        if log.parse::<tracing_subscriber::filter::Targets>().is_err() {
            return Err(bad(
                "log",
                format!("{log:?} no es un filtro: escriba error, warn, info, debug o trace"),
                format!("{log:?} is not a filter: write error, warn, info, debug or trace"),
            ));
        }
        let log_format = match env("LOG_FORMAT").or(file.log_format).as_deref() {
            None | Some("text") => LogFormat::Text,
            Some("json") => LogFormat::Json,
            Some(other) => {
                return Err(bad(
                    "log_format",
                    format!("{other:?} no se conoce: escriba text o json"),
                    format!("{other:?} is not known: write text or json"),
                ));
            }
        };
        let inventory_every_ms = match env("INVENTORY_EVERY_MS") {
            Some(text) => match text.parse() {
                Ok(number) => Some(number),
                Err(_) => {
                    return Err(bad(
                        "inventory_every_ms",
                        format!("{text:?} no es un número"),
                        format!("{text:?} is not a number"),
                    ));
                }
            },
            None => file.inventory_every_ms,
        };
        if let Some(every) = inventory_every_ms
            && !(100..=7 * 24 * 3_600_000).contains(&every)
        {
            return Err(bad(
                "inventory_every_ms",
                format!("{every} está fuera de 100 a 604800000"),
                format!("{every} is outside 100 to 604800000"),
            ));
        }
        let inventory_names = match env("INVENTORY_NAMES").as_deref() {
            Some("true") => true,
            Some("false") => false,
            Some(text) => {
                return Err(bad(
                    "inventory_names",
                    format!("{text:?} no es true ni false"),
                    format!("{text:?} is neither true nor false"),
                ));
            }
            None => file.inventory_names.unwrap_or(true),
        };
        Ok(Self {
            server,
            state_dir,
            root,
            policy,
            organisation: env("ORGANISATION").or(file.organisation),
            proxy,
            log,
            log_format,
            inventory_every_ms,
            facts_root,
            inventory_names,
        })
    }

    /// The coordinator's address, or what to write where.
    pub fn need_server(&self) -> Result<&Address, Failure> {
        self.server.as_ref().ok_or_else(|| {
            Failure::usage(
                "CONFIG_INVALID",
                Text::new(
                    format!("falta la clave `server`: escriba server = \"https://equipo:puerto\" en {DEFAULT_PATH} o defina CHASQUI_AGENT_SERVER"),
                    format!("the key `server` is missing: write server = \"https://host:port\" in {DEFAULT_PATH} or set CHASQUI_AGENT_SERVER"),
                ),
            )
        })
    }
}

fn read(path: &Path) -> std::io::Result<String> {
    let length = std::fs::metadata(path)?.len();
    if length > MAX_FILE {
        return Err(std::io::Error::new(
            std::io::ErrorKind::InvalidData,
            format!("{length} bytes; a configuration has at most {MAX_FILE}"),
        ));
    }
    std::fs::read_to_string(path)
}

fn parse(path: &Path, text: &str) -> Result<File, Failure> {
    toml::from_str(text).map_err(|error| {
        let problem = error.to_string();
        let problem = problem.trim_end();
        Failure::usage(
            "CONFIG_INVALID",
            Text::new(
                format!(
                    "{}: no es una configuración válida:\n{problem}",
                    path.display()
                ),
                format!("{}: not a valid configuration:\n{problem}", path.display()),
            ),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<Config, Failure> {
        let path = Path::new("/x/agent.toml");
        Config::check(path, parse(path, text)?, &|_| None)
    }

    #[test]
    fn errors_name_file_key_and_remedy() {
        for (text, key) in [
            ("server = \"http://a:1\"", "server"),
            ("state_dir = \"here\"", "state_dir"),
            ("proxy = \"socks5://a:1\"", "proxy"),
            ("log_format = \"xml\"", "log_format"),
            ("inventory_every_ms = 5", "inventory_every_ms"),
            ("colour = 1", "colour"),
        ] {
            let error = check(text).unwrap_err();
            assert_eq!(error.exit, crate::failure::Exit::Usage);
            for words in [&error.text.es, &error.text.en] {
                assert!(words.contains("/x/agent.toml"), "{words}");
                assert!(words.contains(key), "{words}");
            }
        }
    }

    #[test]
    fn the_environment_replaces_the_file() {
        let path = Path::new("/x/agent.toml");
        let file = parse(path, "server = \"https://a:1\"\nlog = \"warn\"").unwrap();
        let config = Config::check(path, file, &|key| {
            (key == "SERVER").then(|| "https://b:2".to_owned())
        })
        .unwrap();
        assert_eq!(config.server.unwrap().host, "b");
        assert_eq!(config.log, "warn");
    }
}
