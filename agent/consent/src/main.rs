//! `chasqui-consent`: reads the question, shows it, writes the answer.

use std::io::{Read as _, Write as _};
use std::process::ExitCode;

use chasqui_consent::request::{MAX_REQUEST, Request};
use chasqui_consent::window;

/// The request is none.
const BAD_REQUEST: u8 = 2;
/// It could not be shown.
const NOT_SHOWN: u8 = 3;

fn main() -> ExitCode {
    let mut bytes = Vec::new();
    let read = std::io::stdin().take(MAX_REQUEST).read_to_end(&mut bytes);
    if let Err(error) = read {
        return fail(BAD_REQUEST, &error);
    }
    let request = match Request::read(&bytes) {
        Ok(request) => request,
        Err(error) => return fail(BAD_REQUEST, &error),
    };
    let answer = match window::show(&request) {
        Ok(answer) => answer,
        Err(error) => return fail(NOT_SHOWN, &error),
    };
    let written = serde_json::to_vec(&answer)
        .map_err(std::io::Error::other)
        .and_then(|words| std::io::stdout().write_all(&words));
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(NOT_SHOWN, &error),
    }
}

fn fail(code: u8, error: &dyn std::fmt::Display) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "chasqui-consent: {error}");
    ExitCode::from(code)
}
