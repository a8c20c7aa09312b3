//! SQL exists once, for both engines, in the registry: every statement prepares on both with the same parameters, and
//! no SQL stands outside the macro in any server crate.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod common;

use std::path::{Path, PathBuf};

use chasqui_store::{Engine, Statement, registry};
use common::Db;

both_engines!(every_statement_prepares);

fn every_statement_prepares(db: &Db) {
    let store = db.open();
    let mut wrong = Vec::new();
    for statement in registry() {
        match store.prepare_check(statement) {
            Ok(count) if count == highest_parameter(statement.text(store.engine())) => {}
            Ok(count) => wrong.push(format!(
                "{} ({}:{}): the engine sees {count} parameters",
                statement.full_name(),
                statement.file(),
                statement.line()
            )),
            Err(error) => wrong.push(format!(
                "{error} ({}:{})",
                statement.file(),
                statement.line()
            )),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn highest_parameter(text: &str) -> usize {
    let mut highest = 0;
    for (at, _) in text.match_indices(['$', '?']) {
        let digits: String = text[at + 1..]
            .chars()
            .take_while(char::is_ascii_digit)
            .collect();
        highest = highest.max(digits.parse().unwrap_or(0));
    }
    highest
}

#[test]
fn statements_have_distinct_names_and_no_traps() {
    let mut names: Vec<String> = registry()
        .iter()
        .map(|statement| statement.full_name())
        .collect();
    let all = names.len();
    names.sort();
    names.dedup();
    assert_eq!(
        names.len(),
        all,
        "two statements of one module share a name or a line"
    );
    for statement in registry() {
        for trap in [
            "::",
            "lower(",
            "LOWER(",
            "upper(",
            "UPPER(",
            " LIMIT -1",
            "ILIKE",
            "GLOB",
        ] {
            assert!(
                !both_texts(statement).contains(trap)
                    || statement.text(Engine::Postgres) != dollars(statement),
                "{}: {trap} does not mean the same on both engines",
                statement.full_name()
            );
        }
    }
}

fn dollars(statement: &Statement) -> String {
    statement.text(Engine::Sqlite).replace('?', "$")
}

fn both_texts(statement: &Statement) -> String {
    format!(
        "{}{}",
        statement.text(Engine::Sqlite),
        statement.text(Engine::Postgres)
    )
}

/// What the linker gathered is what the sources say: a statement that is not in the registry would never be prepared
/// by the test above.
#[test]
fn the_registry_holds_every_statement_of_the_sources() {
    let mut written = 0;
    for file in sources(&store_crate().join("src")) {
        let text = code_only(&std::fs::read_to_string(&file).unwrap());
        written += text.matches("sql!(").count() + text.matches("sql_engines!(").count();
    }
    // The macros are defined in terms of each other.
    let definitions =
        code_only(&std::fs::read_to_string(store_crate().join("src/statement.rs")).unwrap());
    written -= definitions.matches("sql!(").count() + definitions.matches("sql_engines!(").count();
    let gathered = registry()
        .iter()
        .filter(|statement| statement.full_name().starts_with("chasqui_store::"))
        .count();
    assert!(gathered > 40, "only {gathered} statements");
    assert_eq!(gathered, written);
}

/// Files that hand raw SQL to a driver: the engines, and the schema's history with its DDL.
const ENGINE_FILES: &[&str] = &["store/src/engine/", "store/src/migrate.rs"];

#[test]
fn no_sql_stands_outside_the_macro() {
    let server = store_crate().parent().unwrap().to_owned();
    let mut wrong = Vec::new();
    let mut seen = 0;
    for folder in ["src", "domain/src", "store/src", "cli/src"] {
        for file in sources(&server.join(folder)) {
            let name = file
                .strip_prefix(&server)
                .unwrap()
                .to_string_lossy()
                .into_owned();
            if ENGINE_FILES.iter().any(|engine| name.starts_with(engine)) {
                continue;
            }
            seen += 1;
            let text = without_tests(&code_only(&std::fs::read_to_string(&file).unwrap()));
            wrong.extend(
                sql_outside(&text)
                    .into_iter()
                    .map(|found| format!("{name}: {found}")),
            );
            // Rows and their driver types meet in value.rs and tx.rs; the address in store.rs.
            let wrapper = [
                "store/src/value.rs",
                "store/src/tx.rs",
                "store/src/store.rs",
            ]
            .contains(&name.as_str());
            for driver in [
                "rusqlite",
                "postgres::",
                ".prepare_cached(",
                ".batch_execute(",
                ".execute_batch(",
            ] {
                let own = text.replace("engine::postgres::", "");
                if own.contains(driver) && !wrapper {
                    wrong.push(format!("{name}: {driver} is for the engines alone"));
                }
            }
        }
    }
    assert!(seen > 10, "only {seen} files were looked at");
    assert!(wrong.is_empty(), "SQL outside sql!:\n{}", wrong.join("\n"));
}

#[test]
fn the_scan_finds_sql_that_was_smuggled_in() {
    assert_eq!(sql_outside(r#"let a = "SELECT x FROM t";"#).len(), 1);
    assert_eq!(sql_outside(r##"f(r#"update t set x = 1"#)"##).len(), 1);
    assert_eq!(sql_outside(r#"sql!(NAME, "SELECT x FROM t");"#).len(), 0);
    assert_eq!(
        sql_outside(r#"sql!("DELETE FROM t WHERE a = 'x;)'"), "INSERT INTO t (a) VALUES (1)""#)
            .len(),
        1
    );
    assert_eq!(
        sql_outside(r#"sql_engines!(sqlite: "SELECT 1", postgres: "SELECT 2")"#).len(),
        0
    );
    assert_eq!(
        sql_outside(r#""Select a file to delete from the list""#).len(),
        0
    );
    assert_eq!(code_only("a // \"SELECT x FROM t\"\nb").trim(), "a \nb");
    assert_eq!(
        code_only("let x = \"// no comment\";"),
        "let x = \"// no comment\";"
    );
}

/// String literals that read like SQL, not counting those inside `sql!(...)`.
fn sql_outside(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    // Where the parentheses of a sql!( ... ) are open, literals are at home.
    let mut depth_in_macro = 0_usize;
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        if depth_in_macro == 0
            && let Some(start) = ["sql!(", "sql_engines!("]
                .iter()
                .find(|start| rest.starts_with(**start))
        {
            depth_in_macro = 1;
            at += start.len();
        } else if let Some(literal) = literal(rest) {
            if depth_in_macro == 0 && reads_like_sql(literal) {
                found.push(literal.chars().take(80).collect());
            }
            at += literal.len();
        } else {
            let c = rest.chars().next().unwrap();
            match c {
                '(' if depth_in_macro > 0 => depth_in_macro += 1,
                ')' if depth_in_macro > 0 => depth_in_macro -= 1,
                _ => {}
            }
            at += c.len_utf8();
        }
    }
    found
}

fn reads_like_sql(literal: &str) -> bool {
    let words: Vec<String> = literal
        .trim_start_matches(['r', 'b', '#', '"'])
        .split_whitespace()
        .map(str::to_uppercase)
        .collect();
    let has = |word: &str| words.iter().any(|w| w == word);
    match words.first().map(String::as_str) {
        Some("SELECT") => has("FROM") && !has("A"),
        Some("INSERT") => has("INTO"),
        Some("UPDATE") => has("SET"),
        Some("DELETE") => words.get(1).is_some_and(|word| word == "FROM"),
        Some("WITH") => has("SELECT"),
        Some("CREATE" | "ALTER" | "DROP") => words
            .get(1)
            .is_some_and(|word| ["TABLE", "INDEX", "UNIQUE", "VIEW"].contains(&word.as_str())),
        _ => false,
    }
}

/// The string literal that a text begins with.
fn literal(text: &str) -> Option<&str> {
    if let Some(raw) = text.strip_prefix('r') {
        let hashes = raw.chars().take_while(|c| *c == '#').count();
        if raw[hashes..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let body = 1 + hashes + 1;
            let close = text[body..].find(&end)? + body + end.len();
            return Some(&text[..close]);
        }
        return None;
    }
    if text.starts_with("'\"'") || text.starts_with("'\\\"'") {
        return Some(&text[..text[1..].find('\'')? + 2]);
    }
    if !text.starts_with('"') {
        return None;
    }
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(&text[..=at]),
            _ => {}
        }
    }
    None
}

/// A source without its comments.
fn code_only(text: &str) -> String {
    let mut out = String::new();
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with("//") {
            at += rest.find('\n').unwrap_or(rest.len());
        } else if let Some(literal) = literal(rest) {
            out.push_str(literal);
            at += literal.len();
        } else {
            let c = rest.chars().next().unwrap();
            out.push(c);
            at += c.len_utf8();
        }
    }
    out
}

/// Unit tests may talk SQL beside the store.
fn without_tests(text: &str) -> String {
    text.split("#[cfg(test)]\nmod tests {")
        .next()
        .unwrap()
        .to_owned()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = std::fs::read_dir(folder) else {
        return found;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn store_crate() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
