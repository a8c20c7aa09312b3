//! The people of the case: accounts, keys, sessions. Each has a settings folder of their own, so that whoever watches the
//! demo can go on as any of them with `CHASQUI_CONFIG_DIR`.

use std::path::{Path, PathBuf};

use chasqui_trust::SigningKey;
use chasqui_trust::people::Duty;
use zeroize::Zeroizing;

use crate::args::RoleName;
use crate::client::Client;
use crate::demo::ceremony::Signer;
use crate::failure::{Failure, Outcome};
use crate::session_file::SessionFile;
use crate::{input, key, person, session};

/// A part in the case.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// Log-in name.
    pub login: &'static str,
    /// Full name.
    pub name: &'static str,
    /// What they are, in Spanish and English.
    pub title: (&'static str, &'static str),
    role: RoleName,
    duties: &'static [Duty],
}

/// Registers the ticket and judges the solution.
pub const REQUESTER: Part = Part {
    login: "ana",
    name: "Ana Ríos",
    title: ("solicitante", "requester"),
    role: RoleName::Requester,
    duties: &[],
};
/// Works on it and signs the action.
pub const TECHNICIAN: Part = Part {
    login: "luis",
    name: "Luis Mora",
    title: ("técnico", "technician"),
    role: RoleName::Technician,
    duties: &[Duty::Request],
};
/// Classifies and assigns, and signs the approval.
pub const LEAD: Part = Part {
    login: "marta",
    name: "Marta Gil",
    title: ("líder", "lead"),
    role: RoleName::Lead,
    duties: &[Duty::Request, Duty::Approve],
};
/// May approve as well.
pub const COORDINATOR: Part = Part {
    login: "jorge",
    name: "Jorge Paz",
    title: ("coordinador", "coordinator"),
    role: RoleName::Coordinator,
    duties: &[Duty::Approve],
};
/// All of them.
pub const PARTS: [Part; 4] = [REQUESTER, TECHNICIAN, LEAD, COORDINATOR];

/// A person of the case, logged in.
pub struct Actor {
    /// Which part.
    pub part: Part,
    /// Account id.
    pub id: String,
    /// The API as this person.
    pub client: Client,
    /// Password of the account.
    pub password: Zeroizing<String>,
    /// What they sign with; none where they sign nothing.
    pub key: Option<SigningKey>,
    /// Settings folder.
    pub config: PathBuf,
}

impl Actor {
    /// The key, for the parts that have one.
    pub fn signing_key(&self) -> Outcome<&SigningKey> {
        self.key.as_ref().ok_or_else(|| {
            Failure::usage(
                format!("{} no firma en este caso", self.part.name),
                format!("{} signs nothing in this case", self.part.name),
            )
        })
    }

    /// As the people document names them.
    pub fn signer(&self) -> Option<Signer> {
        self.key.as_ref().map(|key| Signer {
            id: self.id.clone(),
            name: self.part.name.to_owned(),
            key: key.public_key(),
            duties: self.part.duties.to_vec(),
        })
    }

    /// Where the key file lies.
    pub fn key_file(&self) -> PathBuf {
        self.config.join("key.pem")
    }
}

/// Makes the account, logs in, and prepares the settings folder.
pub async fn engage(admin: &Client, part: Part, people: &Path) -> Outcome<Actor> {
    let password = Zeroizing::new(hex::encode(input::random::<8>()?));
    person::create(admin, part.login, part.name, &[part.role], &password).await?;
    let anonymous = Client::connect(&admin.server, None, None)?;
    let answer = session::sign_in(&anonymous, part.login, &password).await?;
    let person = answer.person.unwrap_or_default();
    let config = people.join(part.login);
    chasqui_base::durable::create_private_dir(&config)
        .map_err(|error| Failure::file(&config, &error))?;
    let file = SessionFile {
        server: admin.server.clone(),
        ca: None,
        token: answer.token.clone(),
        login: person.login.clone(),
        person_id: person.id.clone(),
        expires_at_ms: answer.expires_at_ms,
    };
    let text = serde_json::to_vec_pretty(&file).unwrap_or_default();
    input::write_file(&config.join("session.json"), &text, 0o600)?;
    let key = if part.duties.is_empty() {
        None
    } else {
        Some(key::generate()?)
    };
    Ok(Actor {
        part,
        id: person.id,
        client: Client::connect(&admin.server, None, Some(&answer.token))?,
        password,
        key,
        config,
    })
}
