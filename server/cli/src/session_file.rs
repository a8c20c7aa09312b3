//! The session on disk: `session.json` in the settings folder, readable by its owner alone.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::failure::{Exit, Failure, Outcome};
use crate::input;

/// What is kept of a log-in. The token is a secret.
#[derive(Clone, Serialize, Deserialize)]
pub struct SessionFile {
    /// The coordinator's address, without a closing slash.
    pub server: String,
    /// Authority of its certificate, when it is not a public one.
    pub ca: Option<PathBuf>,
    /// Session token.
    pub token: String,
    /// Log-in name.
    pub login: String,
    /// Id of the person, as signed papers name it.
    pub person_id: String,
    /// UTC milliseconds.
    pub expires_at_ms: i64,
}

impl std::fmt::Debug for SessionFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionFile")
            .field("server", &self.server)
            .field("login", &self.login)
            .finish_non_exhaustive()
    }
}

const NAME: &str = "session.json";

impl SessionFile {
    /// The stored session; none when nobody logged in.
    pub fn load(context: &Context) -> Outcome<Option<Self>> {
        let path = context.setting(NAME);
        if !path.exists() {
            return Ok(None);
        }
        let bytes = input::read_file(&path)?;
        let session = serde_json::from_slice(&bytes).map_err(|_| {
            let path = path.display();
            Failure::new(
                Exit::LoginNeeded,
                "SESSION_INVALID",
                format!("el archivo de sesión {path} está dañado"),
                format!("the session file {path} is damaged"),
            )
            .hint(
                "inicie sesión con: chasqui login",
                "log in with: chasqui login",
            )
        })?;
        Ok(Some(session))
    }

    /// Stores the session, readable by its owner alone.
    pub fn save(&self, context: &Context) -> Outcome {
        chasqui_base::durable::create_private_dir(&context.config)
            .map_err(|error| Failure::file(&context.config, &error))?;
        let bytes = serde_json::to_vec_pretty(self).map_err(|error| {
            Failure::new(
                Exit::Failed,
                "SESSION_INVALID",
                error.to_string(),
                error.to_string(),
            )
        })?;
        input::write_file(&context.setting(NAME), &bytes, 0o600)
    }

    /// Removes the stored session; none there is no error.
    pub fn remove(context: &Context) -> Outcome {
        let path = context.setting(NAME);
        chasqui_base::durable::remove(&path).map_err(|error| Failure::file(&path, &error))
    }
}
