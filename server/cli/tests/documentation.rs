//! Every command of this program that the documentation shows is one that the program understands.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::fs;
use std::path::Path;

use chasqui_cli::args::Cli;
use clap::CommandFactory as _;

/// Words of a shell line: quotes of either kind hold a word together, `#` ends it. Enough for what the pages show.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut begun, mut quoted) = (String::new(), false, None);
    for character in line.chars() {
        match character {
            '"' | '\'' if quoted.is_none_or(|by| by == character) => {
                quoted = quoted.is_none().then_some(character);
                begun = true;
            }
            '#' if quoted.is_none() && !begun => break,
            c if c.is_whitespace() && quoted.is_none() => {
                if begun {
                    words.push(std::mem::take(&mut word));
                }
                begun = false;
            }
            c => {
                word.push(c);
                begun = true;
            }
        }
    }
    if begun {
        words.push(word);
    }
    words
}

/// Shell lines of a page's `sh` blocks, continued lines joined.
fn shell_lines(page: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let (mut inside, mut goes_on) = (false, false);
    for line in page.lines() {
        if line.starts_with("```") {
            inside = line == "```sh";
            continue;
        }
        if !inside {
            continue;
        }
        let (text, more) = match line.strip_suffix('\\') {
            Some(text) => (text, true),
            None => (line, false),
        };
        match lines.last_mut() {
            Some(last) if goes_on => last.push_str(text),
            _ => lines.push(text.to_owned()),
        }
        goes_on = more;
    }
    lines
}

#[test]
fn the_pages_show_commands_that_exist() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut shown = 0;
    for page in [
        "README.md",
        "README.es.md",
        "docs/getting-started.md",
        "docs/cli.md",
        "docs/definitions.md",
    ] {
        let text = fs::read_to_string(top.join(page)).unwrap();
        for line in shell_lines(&text) {
            for part in line.split("&&").flat_map(|part| part.split(" | ")) {
                let words = words(part);
                let Some(program) = words.first() else {
                    continue;
                };
                if program != "chasqui" && !program.ends_with("/chasqui") {
                    continue;
                }
                // What a shell would do with the output is not the program's.
                let own = words.iter().take_while(|word| !word.starts_with('>'));
                shown += 1;
                if let Err(error) = Cli::command().try_get_matches_from(own)
                    && error.use_stderr()
                {
                    panic!("{page}: {line}\n{error}");
                }
            }
        }
    }
    assert!(shown > 20, "only {shown} commands were found");
}
