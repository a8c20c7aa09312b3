//! `trust add|revoke|new-root`: changes of the next people document or root. They write unsigned
//! drafts; a draft that had signatures loses them, since they were for other content.

use std::path::PathBuf;

use chasqui_base::clock;
use chasqui_trust::key::KeyId;
use chasqui_trust::people::{Custody, Duty, Person, PersonKey};
use chasqui_trust::root::{Coordinator, Role};
use chasqui_trust::{Document as _, People, PublicKey, Root};

use crate::failure::{Exit, Failure, Outcome};
use crate::key;
use crate::trust::args::{
    AddCommand, AddKeyArgs, AddPersonArgs, CustodyName, DutyName, RevokeCommand,
};
use crate::trust::folder::{Folder, Kind, days_ms};
use crate::trust::init;

/// Least length of a shortened key id.
const MIN_SHORT_ID: usize = 8;
/// Usual validity of a new root begun by a change.
const ROOT_DAYS: u32 = 730;
/// Validity written into a draft of people; `trust renew` sets it anew.
const DRAFT_DAYS: u32 = 30;

/// What changed: the draft's file.
pub fn add(command: &AddCommand) -> Outcome<PathBuf> {
    match command {
        AddCommand::Person(args) => add_person(args),
        AddCommand::RootKey(args) => add_key(args, |root| &mut root.root),
        AddCommand::AdminKey(args) => add_key(args, |root| &mut root.trust_admins),
        AddCommand::PublisherKey(args) => add_key(args, |root| &mut root.publishers),
        AddCommand::Coordinator {
            folder,
            name,
            agents_url,
            people_url,
            ca_files,
        } => {
            let folder = Folder::at(&folder.dir);
            let new = init::coordinator(name.as_deref(), agents_url, people_url, ca_files)?;
            change_root(&folder, |root| {
                root.coordinators
                    .retain(|c: &Coordinator| c.name != new.name);
                root.coordinators.push(new);
                Ok(())
            })
        }
    }
}

/// Adds a key, and the person when new.
pub fn add_person(args: &AddPersonArgs) -> Outcome<PathBuf> {
    let folder = Folder::at(&args.folder.dir);
    let now = clock::now_ms();
    let key = PersonKey {
        key: key::public_from(&args.key)?,
        custody: match args.custody {
            CustodyName::File => Custody::File,
            CustodyName::Hardware => Custody::Hardware,
            CustodyName::Browser => Custody::Browser,
        },
        max_risk: args.max_risk,
        not_before_ms: now,
        not_after_ms: now + days_ms(args.days),
    };
    let mut duties: Vec<Duty> = args
        .duty
        .iter()
        .map(|duty| match duty {
            DutyName::Request => Duty::Request,
            DutyName::Approve => Duty::Approve,
        })
        .collect();
    duties.sort();
    duties.dedup();
    let person = Person {
        id: args.id.clone(),
        name: args.name.clone(),
        keys: vec![key],
        duties,
    };
    put_persons(&folder, vec![person])
}

/// Adds persons (or more keys of known ones) to the next people document.
pub fn put_persons(folder: &Folder, persons: Vec<Person>) -> Outcome<PathBuf> {
    change_people(folder, |people| {
        for new in persons {
            match people.persons.iter_mut().find(|p| p.id == new.id) {
                Some(known) => {
                    for key in new.keys {
                        known.keys.retain(|held| held.key != key.key);
                        known.keys.push(key);
                    }
                    known.name = new.name;
                    known.duties = new.duties;
                }
                None => people.persons.push(new),
            }
        }
        Ok(())
    })
}

/// Leaves something out.
pub fn revoke(command: &RevokeCommand) -> Outcome<PathBuf> {
    match command {
        RevokeCommand::Person { folder, id } => change_people(&Folder::at(&folder.dir), |people| {
            let before = people.persons.len();
            people.persons.retain(|person| person.id != *id);
            if people.persons.len() == before {
                return Err(nothing("persona", "person", id));
            }
            Ok(())
        }),
        RevokeCommand::Coordinator { folder, name } => {
            change_root(&Folder::at(&folder.dir), |root| {
                let before = root.coordinators.len();
                root.coordinators.retain(|c| c.name != *name);
                if root.coordinators.len() == before {
                    return Err(nothing("coordinador", "coordinator", name));
                }
                Ok(())
            })
        }
        RevokeCommand::Key { folder, key } => revoke_key(&Folder::at(&folder.dir), key),
    }
}

fn revoke_key(folder: &Folder, wanted: &str) -> Outcome<PathBuf> {
    if wanted.len() < MIN_SHORT_ID {
        return Err(Failure::usage(
            format!("dé al menos {MIN_SHORT_ID} caracteres del identificador de la clave"),
            format!("give at least {MIN_SHORT_ID} characters of the key's id"),
        ));
    }
    let fits = |id: KeyId| id.to_string().starts_with(wanted);
    let people: Option<People> = folder.latest(Kind::People)?;
    let in_people: Vec<KeyId> = people
        .iter()
        .flat_map(|people| &people.persons)
        .flat_map(|person| &person.keys)
        .map(|key| key.key.id())
        .filter(|id| fits(*id))
        .collect();
    let root = folder.latest::<Root>(Kind::Root)?;
    let in_root: Vec<KeyId> = root
        .iter()
        .flat_map(|root| &root.keys)
        .map(PublicKey::id)
        .filter(|id| fits(*id))
        .collect();
    match (in_people.as_slice(), in_root.as_slice()) {
        ([id], []) => change_people(folder, |people| {
            for person in &mut people.persons {
                person.keys.retain(|key| key.key.id() != *id);
            }
            // A person without keys can sign nothing; the name stays for what was signed before in older documents.
            people.persons.retain(|person| !person.keys.is_empty());
            Ok(())
        }),
        ([], [id]) => change_root(folder, |root| {
            root.keys.retain(|key| key.id() != *id);
            let roles = [&mut root.root, &mut root.trust_admins, &mut root.publishers];
            for role in roles.into_iter().chain(root.release.as_mut()) {
                role.key_ids.retain(|held| held != id);
            }
            Ok(())
        }),
        ([], []) => Err(nothing("clave", "key", wanted)),
        _ => Err(Failure::usage(
            format!("{wanted} corresponde a varias claves: dé más caracteres"),
            format!("{wanted} fits several keys: give more characters"),
        )),
    }
}

/// Begins the next root.
pub fn new_root(folder: &Folder, days: u32, threshold: Option<u32>) -> Outcome<PathBuf> {
    change_root(folder, |root| {
        root.expires_at_ms = root.issued_at_ms + days_ms(days);
        if let Some(threshold) = threshold {
            root.root.threshold = threshold;
        }
        Ok(())
    })
}

fn add_key(args: &AddKeyArgs, role: impl FnOnce(&mut Root) -> &mut Role) -> Outcome<PathBuf> {
    let key = key::public_from(&args.key)?;
    change_root(&Folder::at(&args.folder.dir), |root| {
        if !root.keys.contains(&key) {
            root.keys.push(key);
        }
        let role = role(root);
        if !role.key_ids.contains(&key.id()) {
            role.key_ids.push(key.id());
        }
        if let Some(threshold) = args.threshold {
            role.threshold = threshold;
        }
        Ok(())
    })
}

fn change_people(folder: &Folder, change: impl FnOnce(&mut People) -> Outcome) -> Outcome<PathBuf> {
    let root = folder.root()?;
    let now = clock::now_ms();
    let last: Option<People> = folder.last(Kind::People)?;
    let mut people = folder.latest(Kind::People)?.unwrap_or_else(|| People {
        critical: Vec::new(),
        org: root.org.clone(),
        version: 1,
        issued_at_ms: now,
        expires_at_ms: now + days_ms(DRAFT_DAYS),
        persons: Vec::new(),
    });
    change(&mut people)?;
    people.version = last.map_or(1, |last| last.version + 1);
    people.issued_at_ms = now;
    people.expires_at_ms = now + days_ms(DRAFT_DAYS);
    folder.write_draft(Kind::People, &people)
}

fn change_root(folder: &Folder, change: impl FnOnce(&mut Root) -> Outcome) -> Outcome<PathBuf> {
    let last: Root = folder.root()?;
    let now = clock::now_ms();
    let mut root: Root = match folder.envelope(&folder.draft(Kind::Root))? {
        Some(envelope) => Root::decode(&envelope)?,
        None => Root {
            expires_at_ms: now + days_ms(ROOT_DAYS),
            ..last.clone()
        },
    };
    root.version = last.version + 1;
    root.issued_at_ms = now;
    change(&mut root)?;
    folder.write_draft(Kind::Root, &root).map_err(|failure| {
        failure.hint(
            "si un papel quedaría con menos claves que firmas necesita, agregue antes la nueva con: chasqui trust add",
            "if a role would be left with fewer keys than must sign, add the new one first with: chasqui trust add",
        )
    })
}

fn nothing(es: &str, en: &str, name: &str) -> Failure {
    Failure::new(
        Exit::NotFound,
        "TRUST_NOT_FOUND",
        format!("no hay tal {es}: {name}"),
        format!("there is no such {en}: {name}"),
    )
}
