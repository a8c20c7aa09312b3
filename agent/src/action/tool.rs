//! Programs of the system that builtins use: looked for at fixed paths, asked for their words in one fixed language.

use std::path::Path;
use std::time::Duration;

use super::builtin::below;
use super::program::{self, Ended};

/// For questions that a program answers from memory.
pub const QUICK: Duration = Duration::from_secs(20);

/// The first of these programs that is here and fit to be run, below a root.
pub fn find(root: &Path, paths: &[&str]) -> Option<String> {
    paths.iter().find_map(|path| {
        let path = below(root, path).to_str()?.to_owned();
        program::check_file(&path).ok().map(|()| path)
    })
}

/// What it prints, if it ended well.
pub async fn words(path: &str, args: &[&str]) -> Option<String> {
    let (ended, text) = program::ask(path, args, QUICK).await;
    (ended.exit_code == Some(0)).then_some(text)
}

/// The value of a `key=value` line.
pub fn value_of<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
}

/// How a tool that a builtin ran came out, as the end of the step.
pub fn step_end(ended: Ended) -> super::builtin::Ended {
    super::builtin::Ended {
        worked: ended.exit_code == Some(0),
        exit_code: ended.exit_code,
        note: ended.note,
        said: serde_json::Value::Null,
    }
}
