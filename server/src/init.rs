//! `chasqui-server init`: a data folder with the private authority, the key of the event log, the configuration, the
//! store and the first administrator. It never makes a root key: what may run on machines is not the coordinator's to
//! say. It overwrites nothing.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use chasqui_base::{clock, durable};
use chasqui_domain::role::{Role, Roles};
use chasqui_store::{Options, Store, person};
use chasqui_trust::SigningKey;
use zeroize::Zeroizing;

use crate::auth::password;
use crate::ca::{self, Authority};
use crate::config::{self, AgentsConfig, Config, PeopleConfig, StoreConfig};
use crate::error::Failure;
use crate::rpc;

/// The event log's key in the data folder, readable by its owner alone.
pub const LOG_KEY: &str = "log.key";
/// Its public half, for auditors.
pub const LOG_PUBLIC: &str = "log.pub.json";
/// The configuration's name when it lies in the data folder.
pub const CONFIG: &str = "server.toml";
/// The SQLite file's name.
const DATABASE: &str = "chasqui.db";

/// What `init` is told.
#[derive(Debug)]
pub struct Plan {
    /// Folder to make.
    pub data: PathBuf,
    /// File to write; nothing: [`CONFIG`] in the data folder.
    pub config: Option<PathBuf>,
    /// See [`config::ORGANISATION_RULE`].
    pub organisation: String,
    /// Database; nothing: SQLite in the data folder.
    pub store_url: Option<String>,
    /// Address to listen on.
    pub agents_listen: SocketAddr,
    /// Names agents dial.
    pub agents_names: Vec<String>,
    /// Address to listen on.
    pub people_listen: SocketAddr,
    /// Certificate and key for people, unless they come on loopback.
    pub people_tls: Option<(PathBuf, PathBuf)>,
    /// Log-in name of the first administrator.
    pub admin: String,
    /// Their password.
    pub password: Zeroizing<String>,
}

/// What was made.
#[derive(Debug)]
pub struct Made {
    /// The configuration's file.
    pub config: PathBuf,
    /// SHA-256 of the authority's certificate, for `root.json`.
    pub device_ca_sha256: [u8; 32],
    /// Id of the first administrator.
    pub admin_id: String,
}

/// Makes everything. The configuration is written last: where it is, the rest is complete.
///
/// # Errors
/// What is in the way or cannot be made, with its path.
pub fn init(plan: Plan) -> anyhow::Result<Made> {
    let config_path = plan
        .config
        .clone()
        .unwrap_or_else(|| plan.data.join(CONFIG));
    refuse_to_overwrite(&plan.data, &config_path)?;
    let config = configuration(&plan, &config_path)?;
    rpc::person::check_login(&plan.admin)
        .map_err(|status| anyhow::anyhow!("--admin: {}", status.message()))?;
    password::check("password", &plan.password)
        .map_err(|status| anyhow::anyhow!("the administrator's {}", status.message()))?;

    durable::create_private_dir(&plan.data).with_context(|| plan.data.display().to_string())?;
    let now_ms = clock::now_ms();
    let authority = Authority::create(&plan.data, &plan.organisation, now_ms)?;
    make_log_key(&plan.data)?;

    let resolved = Config::parse(&config_path, &config, std::iter::empty())?;
    let store = Store::open(&resolved.store.url, &Options::default()).context("the database")?;
    let admin = person::Person {
        id: clock::new_id().to_string(),
        login: plan.admin,
        name: "Administrator".to_owned(),
        roles: Roles::from(Role::Administrator),
        password_hash: password::hash(&plan.password)
            .map_err(|status| anyhow::anyhow!("{}", status.message()))?,
        disabled: false,
        created_at_ms: now_ms,
    };
    let admin_id = admin.id.clone();
    let made: Result<bool, Failure> = store.write_blocking(move |tx| {
        if !person::list(tx, "", 1)?.is_empty() {
            return Ok(false);
        }
        rpc::person::create(tx, &admin, &admin.id)?;
        Ok(true)
    });
    match made {
        Ok(true) => {}
        Ok(false) => bail!(
            "the database has accounts already: it belongs to another coordinator; name an empty one"
        ),
        Err(failure) => bail!("the first administrator: {}", failure.status().message()),
    }
    drop(store);
    // It may name the database with a password.
    durable::write(&config_path, config.as_bytes(), 0o600)
        .with_context(|| config_path.display().to_string())?;
    Ok(Made {
        config: config_path,
        device_ca_sha256: authority.sha256(),
        admin_id,
    })
}

fn refuse_to_overwrite(data: &Path, config: &Path) -> anyhow::Result<()> {
    let mine =
        [ca::CA_KEY, ca::CA_CERTIFICATE, LOG_KEY, DATABASE, CONFIG].map(|name| data.join(name));
    for path in mine.iter().map(PathBuf::as_path).chain([config]) {
        if path
            .try_exists()
            .with_context(|| path.display().to_string())?
        {
            bail!(
                "{} is there already: name another folder with --data, or remove this one if nothing in it is needed",
                path.display()
            );
        }
    }
    Ok(())
}

/// The configuration as text, checked as it will be read.
fn configuration(plan: &Plan, path: &Path) -> anyhow::Result<String> {
    if !config::is_organisation(&plan.organisation) {
        bail!(
            "--org {:?}: {}",
            plan.organisation,
            config::ORGANISATION_RULE
        );
    }
    let (certificate, key) = plan
        .people_tls
        .as_ref()
        .map(|(certificate, key)| {
            Ok::<_, std::io::Error>((std::path::absolute(certificate)?, std::path::absolute(key)?))
        })
        .transpose()?
        .unzip();
    let defaults = Config {
        organisation: plan.organisation.clone(),
        data: if plan.config.is_some() {
            std::path::absolute(&plan.data)?
        } else {
            PathBuf::from(".")
        },
        store: StoreConfig {
            url: plan
                .store_url
                .clone()
                .unwrap_or_else(|| format!("sqlite:{DATABASE}")),
        },
        agents: AgentsConfig {
            listen: plan.agents_listen,
            url: String::new(),
            names: plan.agents_names.clone(),
            max_connections: 50_000,
            max_connections_per_source: 25_000,
        },
        people: PeopleConfig {
            listen: plan.people_listen,
            certificate,
            key,
            max_connections: 2_000,
        },
        sessions: config::SessionsConfig::default(),
        devices: config::DevicesConfig::default(),
        log: config::LogConfig::default(),
        stop_seconds: 20,
    };
    let text = format!(
        "# Configuration of chasqui-server. `chasqui-server check-config` says whether it is right.\n\
         # A value in the environment goes first: CHASQUI_SERVER_STORE_URL sets store.url.\n\n{}",
        toml::to_string_pretty(&defaults)?
    );
    Config::parse(path, &text, std::iter::empty())?;
    Ok(text)
}

fn make_log_key(data: &Path) -> anyhow::Result<()> {
    let mut seed = Zeroizing::new([0_u8; 32]);
    getrandom::fill(seed.as_mut_slice())
        .map_err(|cause| anyhow::anyhow!("the system gives no random numbers: {cause}"))?;
    let key = SigningKey::generate(*seed);
    let pem = key.to_pkcs8_pem().context("the log's key")?;
    let path = data.join(LOG_KEY);
    durable::write(&path, pem.as_bytes(), 0o600).with_context(|| path.display().to_string())?;
    let path = data.join(LOG_PUBLIC);
    let public = serde_json::to_vec(&key.public_key())?;
    durable::write(&path, &public, 0o644).with_context(|| path.display().to_string())
}
