//! `files.clean` and what may be checked of files afterwards: the walk is in `files_clean`, the comparison in `file_renewed`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chasqui_base::clock;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::builtin::{Args, Boxed, Check, Ended, Finding, Making, Step, Work};
use super::file_renewed::FileRenewed;
use super::files_clean::{Cleaner, Pass, Tally};
use super::runner::Control;
use crate::policy::Refused;

/// `files.clean`.
pub fn clean(args: &mut Args, making: &Making<'_>) -> Result<Box<dyn Step>, Refused> {
    Ok(Box::new(Clean(cleaner(args, making)?)))
}

/// `files.cleaned`.
pub fn cleaned(args: &mut Args, making: &Making<'_>) -> Result<Box<dyn Check>, Refused> {
    let cleaner = cleaner(args, making)?;
    let at_least = args
        .integer("freed_at_least_bytes")?
        .map(|bytes| u64::try_from(bytes).unwrap_or(0));
    Ok(Box::new(Cleaned { cleaner, at_least }))
}

/// `file.renewed`.
pub fn renewed(args: &mut Args, _: &Making<'_>) -> Result<Box<dyn Check>, Refused> {
    let path = PathBuf::from(args.needed("path")?);
    let begins_with = args.list("begins_with")?.unwrap_or_default();
    if !path.is_absolute() {
        return Err(args.wrong("path"));
    }
    Ok(Box::new(FileRenewed { path, begins_with }))
}

#[derive(Debug)]
struct Clean(Cleaner);

impl Step for Clean {
    fn run<'a>(&'a self, work: &'a Work<'a>) -> Boxed<'a, Ended> {
        Box::pin(async {
            let tally = walk(&self.0, Pass::Remove, work.limit, work.control).await;
            let note = match (tally.stopped, work.control.cancel.is_cancelled()) {
                (false, _) => "",
                (true, true) => "cancelled",
                (true, false) => "time limit",
            };
            Ended {
                exit_code: (!tally.stopped).then_some(0),
                note: note.to_owned(),
                worked: !tally.stopped,
                said: value(&tally),
            }
        })
    }
}

#[derive(Debug)]
struct Cleaned {
    cleaner: Cleaner,
    at_least: Option<u64>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Seen {
    tally: Tally,
    free: Option<u64>,
}

impl Check for Cleaned {
    fn observe<'a>(&'a self, work: &'a Work<'a>) -> Boxed<'a, Value> {
        Box::pin(async {
            value(&Seen {
                tally: walk(&self.cleaner, Pass::Look, work.limit, work.control).await,
                free: self.cleaner.free_bytes(),
            })
        })
    }

    fn judge<'a>(
        &'a self,
        before: &'a Value,
        said: &'a Value,
        work: &'a Work<'a>,
    ) -> Boxed<'a, Finding> {
        Box::pin(async {
            // Without what was there before nothing adds up, so nothing is claimed.
            let before: Seen = serde_json::from_value(before.clone()).unwrap_or_else(|_| Seen {
                tally: Tally {
                    stopped: true,
                    ..Tally::default()
                },
                free: None,
            });
            let removed: Tally = serde_json::from_value(said.clone()).unwrap_or_default();
            let after = walk(&self.cleaner, Pass::Look, work.limit, work.control).await;
            let free = (before.free, self.cleaner.free_bytes());
            self.cleaner
                .judge(&before.tally, &removed, &after, free, self.at_least)
        })
    }
}

impl Check for FileRenewed {
    fn observe<'a>(&'a self, _: &'a Work<'a>) -> Boxed<'a, Value> {
        Box::pin(async { value(&Self::observe(self)) })
    }

    fn judge<'a>(&'a self, before: &'a Value, _: &'a Value, _: &'a Work<'a>) -> Boxed<'a, Finding> {
        Box::pin(async {
            let before = serde_json::from_value(before.clone()).unwrap_or(None);
            Self::judge(self, before.as_ref())
        })
    }
}

fn value<T: Serialize>(seen: &T) -> Value {
    serde_json::to_value(seen).unwrap_or(Value::Null)
}

fn cleaner(args: &mut Args, making: &Making<'_>) -> Result<Cleaner, Refused> {
    let setting = making.setting;
    let wanted: Vec<PathBuf> = args
        .list("folders")?
        .ok_or_else(|| args.wrong("folders"))?
        .into_iter()
        .map(PathBuf::from)
        .collect();
    let days = args.between("older_than_days", 1, 3650)?;
    let untouched = match args.text("age_by")?.as_deref() {
        None | Some("modified") => setting.policy.untouched_only(),
        Some("untouched") => true,
        Some(_) => return Err(args.wrong("age_by")),
    };
    if let Some(outside) = wanted
        .iter()
        .find(|folder| !is_within(folder, &setting.clean_roots))
    {
        return Err(Refused::new(
            "FOLDER_OUT_OF_REACH",
            format!(
                "{} no es una carpeta temporal: no se limpia",
                outside.display()
            ),
            format!(
                "{} is no temporary folder: it is not cleaned",
                outside.display()
            ),
        ));
    }
    let folders = setting.policy.narrow_folders(&wanted);
    if folders.is_empty() {
        return Err(Refused::new(
            "POLICY_FOLDERS",
            "la política de este equipo no deja ninguna de las carpetas de la acción",
            "this machine's policy leaves none of the action's folders",
        ));
    }
    let mut cleaner = Cleaner::new(folders, days, setting.now_ms, untouched);
    for path in &setting.own_paths {
        cleaner.protect(path);
    }
    Ok(cleaner)
}

fn is_within(folder: &Path, roots: &[PathBuf]) -> bool {
    let plain = folder.components().all(|part| {
        matches!(
            part,
            std::path::Component::RootDir | std::path::Component::Normal(_)
        )
    });
    plain && roots.iter().any(|root| folder.starts_with(root))
}

/// A walk on a thread of its own, so that beats and cancels go on meanwhile.
async fn walk(cleaner: &Cleaner, pass: Pass, limit: Duration, control: &Control) -> Tally {
    let cleaner = cleaner.clone();
    let output = control.output.clone();
    let cancel = control.cancel.clone();
    let began = clock::monotonic();
    tokio::task::spawn_blocking(move || {
        let stop = || cancel.is_cancelled() || began.elapsed() >= limit;
        cleaner.walk(pass, &stop, &output)
    })
    .await
    // A walk that failed inside says nothing of what it did, so nothing is claimed.
    .unwrap_or_else(|_| Tally {
        stopped: true,
        ..Tally::default()
    })
}
