//! `trust renew`: the next people document with new dates, signed. One command, since it is due every few weeks; with
//! more than one administrator it leaves a draft for the others to sign.

use chasqui_base::clock;
use chasqui_trust::{People, SigningKey};

use crate::context::Context;
use crate::failure::Outcome;
use crate::key;
use crate::trust::args::RenewArgs;
use crate::trust::folder::{Folder, Kind, Standing, days_ms, sign_draft};

/// Renews with keys opened from their files.
pub fn run(context: &Context, args: &RenewArgs) -> Outcome<Standing> {
    let folder = Folder::at(&args.folder.dir);
    let root = folder.root()?;
    let files = if args.admin_keys.is_empty() {
        folder.role_keys("admin")
    } else {
        args.admin_keys.clone()
    };
    let mut keys = Vec::new();
    for path in files {
        // A key of an older root would sign in vain: not even its passphrase is asked.
        if root
            .trust_admins
            .key_ids
            .contains(&key::public_of(&path)?.id())
        {
            keys.push(key::open(
                &context.screen,
                &path,
                args.passphrase.passphrase_file.as_ref(),
            )?);
        }
    }
    people(&folder, &keys.iter().collect::<Vec<_>>(), args.days)
}

/// Renews with these keys.
pub fn people(folder: &Folder, admins: &[&SigningKey], days: u32) -> Outcome<Standing> {
    let root = folder.root()?;
    let now = clock::now_ms();
    let last: Option<People> = folder.last(Kind::People)?;
    let people = People {
        critical: Vec::new(),
        org: root.org,
        version: last.map_or(1, |last| last.version + 1),
        issued_at_ms: now,
        expires_at_ms: now + days_ms(days),
        persons: folder
            .latest::<People>(Kind::People)?
            .map(|people| people.persons)
            .unwrap_or_default(),
    };
    let path = folder.write_draft(Kind::People, &people)?;
    sign_draft(&path, admins, now)
}
