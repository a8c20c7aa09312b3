//! `trust renew`: the next people document and catalogue with new dates, signed. One command, since it is due every few
//! weeks; with more than one administrator it leaves drafts for the others to sign.

use std::path::PathBuf;

use chasqui_base::clock;
use chasqui_trust::{Catalogue, Document, People, SigningKey};

use crate::context::Context;
use crate::failure::Outcome;
use crate::key;
use crate::trust::args::RenewArgs;
use crate::trust::folder::{Folder, Kind, Standing, days_ms, sign_draft};

/// Renews with keys opened from their files.
pub fn run(context: &Context, args: &RenewArgs) -> Outcome<Vec<Standing>> {
    let folder = Folder::at(&args.folder.dir);
    let root = folder.root()?;
    let files = |given: &[PathBuf], role: &str| {
        if given.is_empty() {
            folder.role_keys(role)
        } else {
            given.to_vec()
        }
    };
    let open = |paths: Vec<PathBuf>, ids: &[chasqui_trust::KeyId]| -> Outcome<Vec<SigningKey>> {
        let mut keys = Vec::new();
        for path in paths {
            // A key of an older root would sign in vain: not even its passphrase is asked.
            if !ids.contains(&key::public_of(&path)?.id()) {
                continue;
            }
            keys.push(key::open(
                &context.screen,
                &path,
                args.passphrase.passphrase_file.as_ref(),
            )?);
        }
        Ok(keys)
    };
    let admins = open(files(&args.admin_keys, "admin"), &root.trust_admins.key_ids)?;
    let publishers = open(
        files(&args.publisher_keys, "publisher"),
        &root.publishers.key_ids,
    )?;
    documents(
        &folder,
        &admins.iter().collect::<Vec<_>>(),
        &publishers.iter().collect::<Vec<_>>(),
        args.days,
        args.catalogue_days,
    )
}

/// Renews with these keys.
pub fn documents(
    folder: &Folder,
    admins: &[&SigningKey],
    publishers: &[&SigningKey],
    days: u32,
    catalogue_days: u32,
) -> Outcome<Vec<Standing>> {
    let root = folder.root()?;
    let now = clock::now_ms();
    let last: Option<People> = folder.last(Kind::People)?;
    let people = People {
        critical: Vec::new(),
        org: root.org.clone(),
        version: last.map_or(1, |last| last.version + 1),
        issued_at_ms: now,
        expires_at_ms: now + days_ms(days),
        persons: folder
            .latest::<People>(Kind::People)?
            .map(|people| people.persons)
            .unwrap_or_default(),
    };
    let last: Option<Catalogue> = folder.last(Kind::Catalogue)?;
    let catalogue = Catalogue {
        critical: Vec::new(),
        org: root.org.clone(),
        version: last.map_or(1, |last| last.version + 1),
        issued_at_ms: now,
        expires_at_ms: now + days_ms(catalogue_days),
        definitions: folder
            .latest::<Catalogue>(Kind::Catalogue)?
            .map(|catalogue| catalogue.definitions)
            .unwrap_or_default(),
    };
    Ok(vec![
        renew(folder, Kind::People, &people, admins, now)?,
        renew(folder, Kind::Catalogue, &catalogue, publishers, now)?,
    ])
}

fn renew<T: Document>(
    folder: &Folder,
    kind: Kind,
    document: &T,
    keys: &[&SigningKey],
    now_ms: i64,
) -> Outcome<Standing> {
    let path = folder.write_draft(kind, document)?;
    sign_draft(&path, keys, now_ms)
}
