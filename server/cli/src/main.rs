//! `chasqui`: everything is in the library, so that it can be tested without a process.

fn main() -> std::process::ExitCode {
    chasqui_cli::main()
}
