//! What every command is given: language, form of output, where settings are, which coordinator. Nothing here talks to
//! the network.

use std::path::PathBuf;

use chasqui_base::text::Lang;

use crate::args::Global;
use crate::failure::{Exit, Failure, Outcome};
use crate::output::Screen;

/// The surroundings of one run.
#[derive(Clone, Debug)]
pub struct Context {
    /// Where results go.
    pub screen: Screen,
    /// `--server`, else none: the session's own.
    pub server: Option<String>,
    /// `--ca`.
    pub ca: Option<PathBuf>,
    /// Folder of settings: session, key, pinned root.
    pub config: PathBuf,
}

impl Context {
    /// From the options every command shares and the environment.
    pub fn new(global: &Global, lang: Lang) -> Outcome<Self> {
        Ok(Self {
            screen: Screen::new(lang, global.json),
            server: global.server.clone(),
            ca: global.ca.clone(),
            config: config_dir()?,
        })
    }

    /// The language of texts.
    pub fn lang(&self) -> Lang {
        self.screen.lang
    }

    /// A file of the settings folder.
    pub fn setting(&self, name: &str) -> PathBuf {
        self.config.join(name)
    }
}

fn config_dir() -> Outcome<PathBuf> {
    let var = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty());
    if let Some(dir) = var("CHASQUI_CONFIG_DIR") {
        return Ok(dir.into());
    }
    if cfg!(windows) {
        if let Some(dir) = var("APPDATA") {
            return Ok(PathBuf::from(dir).join("chasqui"));
        }
    } else if let Some(dir) = var("XDG_CONFIG_HOME") {
        return Ok(PathBuf::from(dir).join("chasqui"));
    } else if let Some(home) = var("HOME") {
        return Ok(PathBuf::from(home).join(".config/chasqui"));
    }
    Err(Failure::new(
        Exit::Failed,
        "CONFIG_DIR",
        "no se sabe dónde guardar la configuración",
        "there is no place for settings",
    )
    .hint(
        "defina CHASQUI_CONFIG_DIR con una carpeta",
        "set CHASQUI_CONFIG_DIR to a folder",
    ))
}
