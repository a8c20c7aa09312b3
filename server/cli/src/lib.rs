//! The command line of people, and the place where they sign. Each command has its file, named like the feature; what is
//! signed is rendered here from the bytes that are signed, because a page of a broken coordinator could show anything.
//! This crate must never know the server's tables or the agent's insides: it speaks the public API and reads papers.

pub mod args;
pub mod catalogue;
pub mod client;
pub mod completions;
pub mod context;
pub mod demo;
pub mod device;
pub mod evidence;
pub mod failure;
pub mod help;
pub mod history;
pub mod input;
pub mod inventory;
pub mod key;
pub mod order;
pub mod output;
pub mod papers;
pub mod person;
pub mod reasons;
pub mod retirement;
pub mod session;
pub mod session_file;
pub mod source;
pub mod ticket;
pub mod token;
pub mod trust;
pub mod unlock;

use std::ffi::OsString;
use std::process::ExitCode;

use chasqui_base::text::Lang;
use clap::{CommandFactory as _, FromArgMatches as _};

use crate::args::{Cli, Command};
use crate::context::Context;
use crate::failure::{Exit, Failure, Outcome};
use crate::output::Screen;

/// Reads the command line, runs it, and says how it ended.
pub fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    let lang = language(&words);
    let command = help::localise(Cli::command(), lang);
    let cli = match command
        .try_get_matches_from(&words)
        .and_then(|matches| Cli::from_arg_matches(&matches))
    {
        Ok(cli) => cli,
        Err(error) => return usage(&error, &words, lang),
    };
    let lang = cli.global.lang.unwrap_or(lang);
    let screen = Screen::new(lang, cli.global.json);
    match run(cli, lang) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            screen.fail(&failure);
            ExitCode::from(failure.exit as u8)
        }
    }
}

fn run(cli: Cli, lang: Lang) -> Outcome {
    // What needs neither settings nor a runtime comes first.
    match cli.command {
        Command::Completions(args) => {
            completions::run(args.shell);
            Ok(())
        }
        Command::DemoChild(args) => demo::child(args),
        command => {
            let context = Context::new(&cli.global, lang)?;
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(Failure::from)?;
            runtime.block_on(dispatch(&context, command))
        }
    }
}

async fn dispatch(context: &Context, command: Command) -> Outcome {
    match command {
        Command::Login(args) => session::login(context, args).await,
        Command::Logout => session::logout(context).await,
        Command::Whoami => session::whoami(context).await,
        Command::Info => session::info(context).await,
        Command::Person(command) => person::run(context, command).await,
        Command::Token(command) => token::run(context, command).await,
        Command::Source(command) => source::run(context, command).await,
        Command::Device(command) => device::run(context, command).await,
        Command::Ticket(command) => ticket::run(context, command).await,
        Command::Order(command) => order::run(context, command).await,
        Command::Evidence(command) => evidence::run(context, command).await,
        Command::Retirement(command) => retirement::run(context, command).await,
        Command::Catalogue(command) => catalogue::run(context, command).await,
        Command::Trust(command) => trust::run(context, command).await,
        Command::Key(command) => key::run(context, command),
        Command::Demo(args) => demo::run(context, args).await,
        Command::Completions(_) | Command::DemoChild(_) => Ok(()),
    }
}

/// The language before the command line is understood, so that its own errors are in it.
fn language(words: &[OsString]) -> Lang {
    let mut after_flag = false;
    for word in words.iter().filter_map(|word| word.to_str()) {
        let value = if after_flag {
            Some(word)
        } else {
            word.strip_prefix("--lang=")
        };
        if let Some(lang) = value.and_then(|value| value.parse().ok()) {
            return lang;
        }
        after_flag = word == "--lang";
    }
    std::env::var("CHASQUI_LANG")
        .ok()
        .and_then(|value| value.parse().ok())
        .unwrap_or_else(Lang::from_env)
}

/// Help, version, or a command line that cannot be understood.
fn usage(error: &clap::Error, words: &[OsString], lang: Lang) -> ExitCode {
    use clap::error::ErrorKind;
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let _ = error.print();
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            ExitCode::from(Exit::Usage as u8)
        }
        kind => {
            let json = words.iter().any(|word| word == "--json");
            let en = error.to_string();
            let en = en.trim_start_matches("error: ").trim().to_owned();
            let failure = Failure::usage(usage_es(error, kind, &en), en);
            Screen::new(lang, json).fail(&failure);
            ExitCode::from(Exit::Usage as u8)
        }
    }
}

/// The library that reads the command line knows English alone: the common mistakes are said again in Spanish.
fn usage_es(error: &clap::Error, kind: clap::error::ErrorKind, en: &str) -> String {
    use clap::error::{ContextKind, ContextValue, ErrorKind};
    let get = |kind| {
        error.get(kind).map(|value| match value {
            ContextValue::String(text) => text.clone(),
            ContextValue::Strings(texts) => texts.join(", "),
            other => other.to_string(),
        })
    };
    let arg = get(ContextKind::InvalidArg).unwrap_or_default();
    let value = get(ContextKind::InvalidValue).unwrap_or_default();
    match kind {
        ErrorKind::MissingRequiredArgument => format!("falta: {arg}"),
        ErrorKind::UnknownArgument => format!("opción o argumento desconocido: {arg}"),
        ErrorKind::InvalidSubcommand => format!(
            "orden desconocida: {}",
            get(ContextKind::InvalidSubcommand).unwrap_or_default()
        ),
        ErrorKind::MissingSubcommand => "falta la orden".to_owned(),
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            let valid = get(ContextKind::ValidValue)
                .filter(|valid| !valid.is_empty())
                .map(|valid| format!(" (valores: {valid})"))
                .unwrap_or_default();
            format!("valor no válido para {arg}: {value:?}{valid}")
        }
        ErrorKind::ArgumentConflict => format!("no se puede usar aquí: {arg}"),
        _ => en.to_owned(),
    }
}
