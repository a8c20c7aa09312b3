//! `completions SHELL`: what the shell offers after Tab.

use clap::CommandFactory as _;
use clap_complete::Shell;

/// Prints the script for a shell.
pub fn run(shell: Shell) {
    let mut command = crate::args::Cli::command();
    clap_complete::generate(shell, &mut command, "chasqui", &mut std::io::stdout());
}
