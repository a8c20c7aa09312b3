//! cron's tables: the system's, those of packages, and those of accounts, which root alone may read. Of a line only the times
//! and the program are kept: arguments may hold secrets.

use chasqui_proto::v1;

use super::super::super::{Notes, Source, Unreadable, bounds};

const TABLE: &str = "/etc/crontab";
const TABLES: &str = "/etc/cron.d";
const FOLDERS: &[(&str, &str)] = &[
    ("/etc/cron.hourly", "@hourly"),
    ("/etc/cron.daily", "@daily"),
    ("/etc/cron.weekly", "@weekly"),
    ("/etc/cron.monthly", "@monthly"),
];
/// Debian's, and the others'.
const SPOOLS: &[&str] = &["/var/spool/cron/crontabs", "/var/spool/cron"];
const MAX_BYTES: usize = 1 << 20;
const MAX_LINES: usize = 2_000;

/// Every line of every table.
pub fn cron(source: &Source, notes: &mut Notes) -> Vec<v1::Timer> {
    let mut found = Vec::new();
    table(source, TABLE, None, &mut found, notes);
    for name in list(source, TABLES, notes) {
        // cron passes over names with dots: leavings of editors and packages.
        if !name.contains('.') {
            table(source, &format!("{TABLES}/{name}"), None, &mut found, notes);
        }
    }
    for (folder, schedule) in FOLDERS {
        for name in list(source, folder, notes) {
            if name.starts_with('.') || found.len() >= MAX_LINES {
                continue;
            }
            let path = format!("{folder}/{name}");
            found.push(v1::Timer {
                name: bounds::clean(&name),
                schedule: vec![(*schedule).to_owned()],
                program: Some(path.clone()),
                user: source.with_names().then(|| "root".to_owned()),
                path,
            });
        }
    }
    for spool in SPOOLS {
        for name in list(source, spool, notes) {
            if name != "crontabs" {
                let path = format!("{spool}/{name}");
                table(source, &path, Some(&name), &mut found, notes);
            }
        }
    }
    if found.len() > MAX_LINES {
        let why = format!("over {MAX_LINES} lines in cron's tables");
        notes.unread("timers", Unreadable::too_large(why));
        found.truncate(MAX_LINES);
    }
    found
}

fn list(source: &Source, folder: &str, notes: &mut Notes) -> Vec<String> {
    match source.list(folder) {
        Ok(names) => {
            notes.from("timers", folder);
            names
        }
        Err(why) if why.is_no_source() => Vec::new(),
        Err(why) => {
            notes.unread("timers", why);
            Vec::new()
        }
    }
}

/// One table; `owner` is the account whose table it is, of which the file's name is the name.
fn table(
    source: &Source,
    path: &str,
    owner: Option<&str>,
    found: &mut Vec<v1::Timer>,
    notes: &mut Notes,
) {
    let text = match source.text(path, MAX_BYTES) {
        Ok(text) => text,
        Err(why) if why.is_no_source() => return,
        Err(why) => return notes.unread("timers", hide(source, owner, why)),
    };
    // A person's name is also the name of the person's table.
    let (shown, name) = match owner {
        Some(_) if !source.with_names() => (
            path.rsplit_once('/').map_or(path, |(folder, _)| folder),
            "crontab",
        ),
        _ => (path, path.rsplit('/').next().unwrap_or(path)),
    };
    let mut fault = None;
    for line in text.lines() {
        match row(line, owner) {
            Row::Nothing => {}
            Row::Unclear => {
                fault.get_or_insert_with(|| {
                    Unreadable::malformed(format!("{shown}: a line is none of cron's"))
                });
            }
            Row::Job {
                schedule,
                user,
                program,
            } if found.len() <= MAX_LINES => found.push(v1::Timer {
                name: bounds::clean(name),
                schedule: vec![schedule],
                program,
                user: user.filter(|_| source.with_names()),
                path: shown.to_owned(),
            }),
            Row::Job { .. } => {}
        }
    }
    if let Some(why) = fault {
        notes.unread("timers", why);
    }
}

fn hide(source: &Source, owner: Option<&str>, why: Unreadable) -> Unreadable {
    match owner {
        Some(_) if !source.with_names() => Unreadable {
            detail: "a table of an account".to_owned(),
            ..why
        },
        _ => why,
    }
}

#[derive(Debug, PartialEq)]
enum Row {
    /// A remark, an empty line or a setting.
    Nothing,
    Unclear,
    Job {
        schedule: String,
        user: Option<String>,
        program: Option<String>,
    },
}

fn row(line: &str, owner: Option<&str>) -> Row {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Row::Nothing;
    }
    let first = line.split_whitespace().next().unwrap_or_default();
    let times = if first.starts_with('@') {
        1
    } else if first.starts_with(|c: char| c.is_ascii_digit() || c == '*' || c == '-') {
        5
    } else if line.contains('=') {
        return Row::Nothing;
    } else {
        return Row::Unclear;
    };
    let mut words = line.split_whitespace();
    let schedule: Vec<&str> = words.by_ref().take(times).collect();
    let user = match owner {
        Some(owner) => Some(owner),
        None => words.next(),
    };
    let Some(command) = words.next().filter(|_| schedule.len() == times) else {
        return Row::Unclear;
    };
    Row::Job {
        schedule: bounds::clean(&schedule.join(" ")),
        user: user.and_then(bounds::some_text),
        program: super::program(command),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_cron() {
        let job = |schedule: &str, user: &str, program: &str| Row::Job {
            schedule: schedule.into(),
            user: Some(user.into()),
            program: Some(program.into()),
        };
        assert_eq!(
            row(
                "17 *\t* * *\troot    cd / && run-parts /etc/cron.hourly",
                None
            ),
            job("17 * * * *", "root", "cd")
        );
        assert_eq!(
            row("@reboot /home/ana/x --token=1", Some("ana")),
            job("@reboot", "ana", "/home/ana/x")
        );
        assert_eq!(row("PATH=/bin:/usr/bin", None), Row::Nothing);
        assert_eq!(row("# 1 2 3 4 5 root x", None), Row::Nothing);
        assert_eq!(row("1 2 3", None), Row::Unclear);
        assert_eq!(row("1 2 3 4 5 root", None), Row::Unclear);
        assert_eq!(row("\u{fffd}\u{fffd}", None), Row::Unclear);
    }
}
