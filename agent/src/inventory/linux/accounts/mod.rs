//! Who has an account on the machine: its own files, not a directory's. Who is logged in and who was last travel as what
//! changes by itself. A setting of the agent leaves out every name of a person; numbers stay.

mod sessions;

use std::collections::{BTreeMap, BTreeSet};

use chasqui_proto::v1;
use v1::section_facts::Facts;

use super::super::{Collector, Notes, Observation, Source, Unreadable, bounds};

const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";
const SHADOW: &str = "/etc/shadow";
const MAX_BYTES: usize = 8 << 20;
const MAX_ENTRIES: usize = 5_000;
const MAX_MEMBERS: usize = 1_000;

/// Groups whose members may become root by the rules that distributions ship.
const ADMINISTRATORS: &[&str] = &["sudo", "wheel", "admin", "root"];
/// Where accounts and groups of people begin; below are those of the system.
const FIRST_PERSON: u32 = 1_000;
const NOBODY: u32 = 65_534;

/// Makes the accounts section.
#[derive(Clone, Copy, Debug)]
pub struct Accounts;

impl Collector for Accounts {
    fn kind(&self) -> v1::SectionKind {
        v1::SectionKind::Accounts
    }

    fn version(&self) -> u32 {
        1
    }

    fn collect(&self, source: &Source) -> Observation {
        let mut notes = Notes::new(self.kind());
        let passwd = source
            .text(PASSWD, MAX_BYTES)
            .and_then(|text| passwd(&text));
        let passwd = part(&mut notes, "accounts", PASSWD, passwd);
        let groups = source.text(GROUP, MAX_BYTES).and_then(|text| groups(&text));
        let groups_read = groups.as_ref().err().cloned();
        let groups = part(&mut notes, "groups", GROUP, groups);
        let locks = source.text(SHADOW, MAX_BYTES).and_then(|text| locks(&text));
        let administrators = administrators(&groups);
        let mut accounts: Vec<v1::Account> = passwd
            .iter()
            .map(|line| account(line, &locks, &administrators, groups_read.is_none()))
            .collect();
        explain(&accounts, &locks, groups_read, &mut notes);
        let mut groups = groups;
        let mut volatile = sessions::read(source);
        let names_left_out = match (source.with_names(), accounts.is_empty()) {
            (_, true) => {
                let why = Unreadable::no_source("no accounts were read");
                notes.unread("names_left_out", why);
                None
            }
            (with_names, false) => Some(!with_names),
        };
        if !source.with_names() {
            leave_out(&mut accounts, &mut groups, &mut volatile, &mut notes);
        }
        accounts.sort_by(|a, b| (a.uid, &a.login).cmp(&(b.uid, &b.login)));
        groups.sort_by(|a, b| (a.gid, &a.name).cmp(&(b.gid, &b.name)));
        let facts = v1::AccountsFacts {
            accounts,
            groups,
            names_left_out,
        };
        Observation {
            volatile,
            ..Observation::new(Facts::Accounts(facts), notes)
        }
    }
}

/// A list with the lines that made no sense.
type Listed<T> = (Vec<T>, Option<Unreadable>);

fn part<T>(
    notes: &mut Notes,
    group: &str,
    path: &str,
    read: Result<Listed<T>, Unreadable>,
) -> Vec<T> {
    let (list, fault) = notes.take(group, path, read).unwrap_or_default();
    if let Some(why) = fault {
        notes.unread(group, why);
    }
    list
}

/// The lines of a file in columns, each made by `make`.
fn lines<'a, T>(
    path: &str,
    text: &'a str,
    make: impl Fn(&[&'a str]) -> Option<T>,
) -> Result<Listed<T>, Unreadable> {
    let mut list = Vec::new();
    let mut fault = None;
    for line in text.lines() {
        let line = line.trim();
        // Lines with a sign are answered by a directory (nsswitch "compat").
        if line.is_empty() || line.starts_with(['#', '+', '-']) {
            continue;
        }
        if list.len() >= MAX_ENTRIES {
            fault = Some(Unreadable::too_large(format!(
                "{path}: over {MAX_ENTRIES} lines"
            )));
            break;
        }
        let columns: Vec<&str> = line.splitn(10, ':').collect();
        match make(&columns) {
            Some(entry) => list.push(entry),
            None => {
                // The line itself may hold a password's digest: it is not repeated.
                let why = Unreadable::malformed(format!("{path}: a line makes no sense"));
                fault.get_or_insert(why);
            }
        }
    }
    if list.is_empty() {
        return Err(fault.unwrap_or_else(|| Unreadable::malformed(format!("{path}: no entries"))));
    }
    Ok((list, fault))
}

/// passwd(5).
struct Passwd {
    login: String,
    uid: u32,
    gid: u32,
    full_name: Option<String>,
    home: Option<String>,
    shell: Option<String>,
}

fn passwd(text: &str) -> Result<Listed<Passwd>, Unreadable> {
    lines(PASSWD, text, |columns| {
        let [login, _, uid, gid, gecos, home, shell] = columns else {
            return None;
        };
        Some(Passwd {
            login: bounds::some_text(login)?,
            uid: uid.parse().ok()?,
            gid: gid.parse().ok()?,
            full_name: bounds::some_text(gecos.split(',').next().unwrap_or_default()),
            home: bounds::some_text(home),
            shell: bounds::some_text(shell),
        })
    })
}

/// group(5).
fn groups(text: &str) -> Result<Listed<v1::Group>, Unreadable> {
    lines(GROUP, text, |columns| {
        let [name, _, gid, members] = columns else {
            return None;
        };
        let members: BTreeSet<String> = members
            .split(',')
            .filter_map(bounds::some_text)
            .take(MAX_MEMBERS)
            .collect();
        Some(v1::Group {
            name: bounds::some_text(name)?,
            gid: gid.parse().ok()?,
            members: members.into_iter().collect(),
        })
    })
}

/// Of shadow(5) only whether a password opens the account: `false` when it is locked or none was ever set.
fn locks(text: &str) -> Result<BTreeMap<String, bool>, Unreadable> {
    let (list, _) = lines(SHADOW, text, |columns| {
        let (login, password) = (columns.first()?, columns.get(1)?);
        Some(((*login).to_owned(), !password.starts_with(['!', '*'])))
    })?;
    Ok(list.into_iter().collect())
}

/// Numbers and logins of those who may become root.
struct Administrators {
    gids: BTreeSet<u32>,
    logins: BTreeSet<String>,
}

fn administrators(groups: &[v1::Group]) -> Administrators {
    let those = || {
        groups
            .iter()
            .filter(|group| ADMINISTRATORS.contains(&group.name.as_str()))
    };
    Administrators {
        gids: those().map(|group| group.gid).collect(),
        logins: those().flat_map(|group| group.members.clone()).collect(),
    }
}

fn account(
    line: &Passwd,
    locks: &Result<BTreeMap<String, bool>, Unreadable>,
    administrators: &Administrators,
    groups_read: bool,
) -> v1::Account {
    let can_log_in = match (is_shell(line.shell.as_deref()), locks) {
        (false, _) => Some(false),
        (true, Ok(locks)) => locks.get(&line.login).copied(),
        (true, Err(_)) => None,
    };
    let member = line.uid == 0
        || administrators.gids.contains(&line.gid)
        || administrators.logins.contains(&line.login);
    v1::Account {
        login: line.login.clone(),
        uid: line.uid,
        full_name: line.full_name.clone(),
        home: line.home.clone(),
        shell: line.shell.clone(),
        can_log_in,
        administrator: (member || groups_read).then_some(member),
    }
}

/// An empty shell means `/bin/sh` (passwd(5)).
fn is_shell(shell: Option<&str>) -> bool {
    let name = shell.and_then(|shell| shell.rsplit('/').next());
    !matches!(
        name,
        Some("nologin" | "false" | "true" | "sync" | "halt" | "shutdown" | "git-shell")
    )
}

/// One reason for all accounts where a column has none.
fn explain(
    accounts: &[v1::Account],
    locks: &Result<BTreeMap<String, bool>, Unreadable>,
    groups: Option<Unreadable>,
    notes: &mut Notes,
) {
    let lacks = |field: fn(&v1::Account) -> bool| accounts.iter().any(field);
    for (field, lacking) in [
        ("full_name", lacks(|account| account.full_name.is_none())),
        ("home", lacks(|account| account.home.is_none())),
        ("shell", lacks(|account| account.shell.is_none())),
    ] {
        if lacking {
            let why = format!("{PASSWD}: the column is empty");
            notes.unread(&format!("accounts.{field}"), Unreadable::no_source(why));
        }
    }
    if lacks(|account| account.can_log_in.is_none()) {
        let why = match locks {
            Err(why) => why.clone(),
            Ok(_) => Unreadable::no_source(format!("{SHADOW}: no line of that account")),
        };
        notes.unread("accounts.can_log_in", why);
    }
    if let Some(why) = groups {
        notes.unread("accounts.administrator", why);
    }
}

fn leave_out(
    accounts: &mut [v1::Account],
    groups: &mut [v1::Group],
    volatile: &mut v1::VolatileFacts,
    notes: &mut Notes,
) {
    for account in accounts {
        account.login.clear();
        account.full_name = None;
        account.home = None;
    }
    for group in groups {
        group.members.clear();
        // A person's own group bears the person's name.
        if group.gid >= FIRST_PERSON && group.gid != NOBODY {
            group.name.clear();
        }
    }
    for session in &mut volatile.logged_in {
        session.login.clear();
    }
    if let Some(last) = &mut volatile.last_log_on {
        last.login.clear();
    }
    for field in ["accounts.full_name", "accounts.home", "groups.members"] {
        let why = "the agent's setting leaves names out";
        notes.unread(field, Unreadable::no_source(why));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "root:x:0:0:root:/root:/bin/bash\n\
        ana:x:1000:1000:Ana Gómez,,,:/home/ana:/bin/bash\n\
        # remark\n+::::::\nbad:line\nsys:x:3:3::/dev:/usr/sbin/nologin\n";

    #[test]
    fn lines_that_make_no_sense_are_told_and_the_others_kept() {
        let (list, fault) = passwd(TEXT).unwrap();
        assert_eq!(list.len(), 3);
        assert!(fault.is_some());
        assert_eq!(list[1].full_name.as_deref(), Some("Ana Gómez"));
        assert!(passwd("").is_err() && passwd("\u{fffd}\u{fffd}").is_err());
        for cut in (0..TEXT.len()).filter(|cut| TEXT.is_char_boundary(*cut)) {
            let _ = passwd(&TEXT[..cut]);
        }
    }

    #[test]
    fn what_a_password_is_stays_unread() {
        let locks = locks("a:$6$secret:1:::\nb:!$6$secret:1\nc:*:\nd::\n").unwrap();
        let open: Vec<_> = locks.iter().filter(|(_, open)| **open).collect();
        assert_eq!(open.len(), 2);
        let why = lines(SHADOW, "secret", |_| None::<()>).unwrap_err();
        assert!(!why.detail.contains("secret"));
    }
}
