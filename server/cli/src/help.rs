//! The help in Spanish. `args.rs` says it in English; this table holds the same sentence in Spanish, and a test fails when
//! one is missing.

use chasqui_base::text::Lang;
use clap::{Arg, ArgAction, Command};

/// The command with its help in a language.
pub fn localise(command: Command, lang: Lang) -> Command {
    match lang {
        Lang::En => command,
        Lang::Es => spanish(command),
    }
}

fn spanish(mut command: Command) -> Command {
    if let Some(about) = command.get_about().map(ToString::to_string)
        && let Some(es) = translate(&about)
    {
        command = command.about(es);
    }
    let has_subcommands = command.has_subcommands();
    if has_subcommands {
        command = command
            .subcommand_help_heading("Órdenes")
            .subcommand_value_name("ORDEN");
    }
    command = command.help_template(TEMPLATE).disable_help_flag(true).arg(
        Arg::new("ayuda")
            .short('h')
            .long("help")
            .action(ArgAction::Help)
            .help("Mostrar esta ayuda"),
    );
    if command.get_version().is_some() {
        command = command.disable_version_flag(true).arg(
            Arg::new("version")
                .short('V')
                .long("version")
                .action(ArgAction::Version)
                .help("Mostrar la versión"),
        );
    }
    command = command.mut_args(|mut arg| {
        if let Some(help) = arg.get_help().map(ToString::to_string)
            && let Some(es) = translate(&help)
        {
            arg = arg.help(es);
        }
        let heading = if arg.is_positional() {
            "Argumentos"
        } else {
            "Opciones"
        };
        arg.help_heading(heading)
    });
    command.mut_subcommands(spanish)
}

const TEMPLATE: &str = "{about-with-newline}\nUso: {usage}\n\n{all-args}";

/// A sentence of the help in Spanish.
pub fn translate(en: &str) -> Option<&'static str> {
    TABLE
        .iter()
        .find(|(text, _)| *text == en)
        .map(|(_, es)| *es)
}

include!("help_es.rs");

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    fn sentences(command: &Command, out: &mut Vec<String>) {
        out.extend(command.get_about().map(ToString::to_string));
        for arg in command.get_arguments() {
            out.extend(arg.get_help().map(ToString::to_string));
        }
        for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
            sentences(sub, out);
        }
    }

    #[test]
    fn every_sentence_of_the_help_exists_in_spanish() {
        let mut all = Vec::new();
        sentences(&crate::args::Cli::command(), &mut all);
        all.sort();
        all.dedup();
        let missing: Vec<&String> = all.iter().filter(|s| translate(s).is_none()).collect();
        assert!(missing.is_empty(), "not in help_es.rs: {missing:#?}");
        let stale: Vec<&str> = TABLE
            .iter()
            .map(|(en, _)| *en)
            .filter(|en| !all.iter().any(|s| s == en))
            .collect();
        assert!(stale.is_empty(), "no longer said in English: {stale:#?}");
    }

    #[test]
    fn the_command_line_is_consistent() {
        crate::args::Cli::command().debug_assert();
        localise(crate::args::Cli::command(), Lang::Es).debug_assert();
    }
}
