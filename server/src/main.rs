//! The coordinator's program: reads the command line and hands over to the library.

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use chasqui_base::text::Lang;
use chasqui_server::config::{Config, DEFAULT_PATH};
use chasqui_server::{backup, check, init, serve, telemetry};
use clap::{Args, Parser, Subcommand};
use zeroize::Zeroizing;

/// Coordinator of Chasqui: links agents, people and records.
#[derive(Parser)]
#[command(name = "chasqui-server", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a data folder: private authority for devices, log key, store, first administrator, configuration.
    Init(Box<InitArguments>),
    /// Serve until told to stop.
    Run(Where),
    /// Say whether the configuration is right, and which it is.
    CheckConfig(Where),
    /// Copy everything the store holds into a new file, while the server serves.
    Backup(BackupArguments),
    /// Put a backup into an empty database, and check its record.
    Restore(RestoreArguments),
    /// Say whether the sealed record and the tables agree.
    Check(Where),
    /// Names of the places where a test may end the process.
    #[command(hide = true)]
    FaultPoints,
}

/// Which configuration.
#[derive(Args)]
struct Where {
    /// Configuration file.
    #[arg(long, env = "CHASQUI_CONFIG", conflicts_with = "data")]
    config: Option<PathBuf>,
    /// Data folder whose server.toml is meant.
    #[arg(long)]
    data: Option<PathBuf>,
}

impl Where {
    fn path(&self) -> PathBuf {
        match (&self.config, &self.data) {
            (Some(config), _) => config.clone(),
            (None, Some(data)) => data.join(init::CONFIG),
            (None, None) => PathBuf::from(DEFAULT_PATH),
        }
    }

    fn load(&self) -> anyhow::Result<Config> {
        Ok(Config::load(&self.path())?)
    }
}

#[derive(Args)]
struct BackupArguments {
    #[command(flatten)]
    place: Where,
    /// File to make; it must not be there yet.
    file: PathBuf,
}

#[derive(Args)]
struct RestoreArguments {
    /// Backup to read.
    file: PathBuf,
    /// Empty database: sqlite:PATH or postgresql://...
    #[arg(long, value_name = "URL")]
    into: String,
}

#[derive(Args)]
struct InitArguments {
    /// Folder to make.
    #[arg(long, default_value = "/var/lib/chasqui-server")]
    data: PathBuf,
    /// Configuration file to write; server.toml in the data folder when not given.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Name of the organisation: a-z, 0-9, '-' and '.'.
    #[arg(long)]
    org: String,
    /// Database: sqlite:PATH or postgresql://...; SQLite in the data folder when not given.
    #[arg(long)]
    store_url: Option<String>,
    /// Address of the agents' listener; port 0 takes a free one.
    #[arg(long, default_value = "0.0.0.0:7443")]
    agents_listen: SocketAddr,
    /// Host name or address agents dial; may be given several times.
    #[arg(long = "agents-name", required = true)]
    agents_names: Vec<String>,
    /// Address of the people's listener; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:7080")]
    people_listen: SocketAddr,
    /// Certificate chain for people, PEM; needed unless they come on loopback.
    #[arg(long, requires = "people_key")]
    people_certificate: Option<PathBuf>,
    /// Its private key, PEM.
    #[arg(long, requires = "people_certificate")]
    people_key: Option<PathBuf>,
    /// Log-in name of the first administrator.
    #[arg(long, default_value = "admin")]
    admin: String,
    /// File whose first line is their password. Without it: asked for on a terminal, else made and shown once.
    #[arg(long)]
    admin_password_file: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("chasqui-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Init(arguments) => make(*arguments),
        Command::Run(place) => {
            let config = place.load()?;
            telemetry::start(&config.log);
            tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build()
                .context("the runtime")?
                .block_on(serve::run(config))
        }
        Command::CheckConfig(place) => {
            place.load()?;
            println!("{}", place.path().display());
            Ok(())
        }
        Command::Backup(arguments) => {
            backup::backup(&arguments.place.load()?, &arguments.file, Lang::from_env())
        }
        Command::Restore(arguments) => {
            backup::restore(&arguments.file, &arguments.into, Lang::from_env())
        }
        Command::Check(place) => check::check(&place.load()?, Lang::from_env()),
        Command::FaultPoints => {
            for name in chasqui_base::fault::names() {
                println!("{name}");
            }
            Ok(())
        }
    }
}

fn make(arguments: InitArguments) -> anyhow::Result<()> {
    let lang = Lang::from_env();
    let (password, generated) = first_password(&arguments, lang)?;
    let made = init::init(init::Plan {
        data: arguments.data,
        config: arguments.config,
        organisation: arguments.org,
        store_url: arguments.store_url,
        agents_listen: arguments.agents_listen,
        agents_names: arguments.agents_names,
        people_listen: arguments.people_listen,
        people_tls: arguments.people_certificate.zip(arguments.people_key),
        admin: arguments.admin.clone(),
        password: password.clone(),
    })?;
    println!(
        "{}: {}",
        lang.pick("configuración", "configuration"),
        made.config.display()
    );
    println!(
        "{}: {}",
        lang.pick(
            "autoridad de equipos (SHA-256, va en root.json)",
            "device authority (SHA-256, goes into root.json)"
        ),
        hex::encode(made.device_ca_sha256)
    );
    println!(
        "{}: {} ({})",
        lang.pick("administrador", "administrator"),
        arguments.admin,
        made.admin_id
    );
    if generated {
        println!(
            "{}: {}",
            lang.pick(
                "contraseña (no se mostrará otra vez)",
                "password (not shown again)"
            ),
            password.as_str()
        );
    }
    println!(
        "{}: chasqui-server run --config {}",
        lang.pick("siguiente", "next"),
        made.config.display()
    );
    Ok(())
}

/// The password, and whether it was made here and must be shown.
fn first_password(
    arguments: &InitArguments,
    lang: Lang,
) -> anyhow::Result<(Zeroizing<String>, bool)> {
    if let Some(file) = &arguments.admin_password_file {
        let text = Zeroizing::new(
            std::fs::read_to_string(file).with_context(|| file.display().to_string())?,
        );
        let first = text.lines().next().unwrap_or_default();
        return Ok((Zeroizing::new(first.to_owned()), false));
    }
    if std::io::stdin().is_terminal() {
        let ask = |question: &str| rpassword::prompt_password(question).map(Zeroizing::new);
        let first = ask(lang.pick(
            "Contraseña del administrador (vacía: se genera una): ",
            "Administrator's password (empty: one is made): ",
        ))?;
        if !first.is_empty() {
            let second = ask(lang.pick("Otra vez: ", "Again: "))?;
            if first != second {
                bail!(
                    "{}",
                    lang.pick(
                        "las contraseñas no son iguales",
                        "the passwords are not the same"
                    )
                );
            }
            return Ok((first, false));
        }
    }
    let mut bytes = Zeroizing::new([0_u8; 15]);
    getrandom::fill(bytes.as_mut_slice())
        .map_err(|cause| anyhow::anyhow!("random numbers: {cause}"))?;
    Ok((Zeroizing::new(hex::encode(bytes.as_slice())), true))
}
