//! Pending updates are worked out anew only when something that they follow from was touched: apt's lists are tens of
//! megabytes, and change once a day. What they follow from is stamped before it is read, and the answer is kept with the
//! stamp in the agent's own folder; where there is no such folder nothing is remembered.

use chasqui_proto::v1;
use prost::Message;
use sha2::{Digest, Sha256};
use v1::section_facts::Facts;

use super::super::super::source::Stamp;
use super::super::super::{Notes, Source};
use super::{VERSION, apt};

const KEY: &str = "pending-updates";
/// What provenance says of an answer that was not worked out anew.
const KEPT: &str = ", unchanged since an earlier inventory";
/// A file touched so shortly before it was stamped may be touched again without a new time.
const SETTLED_MS: i64 = 2_000;

/// As [`apt::pending`].
pub fn pending(source: &Source, notes: &mut Notes) -> Vec<v1::PendingUpdate> {
    let stamped = stamp(source);
    let kept = stamped
        .as_ref()
        .and_then(|(stamp, _)| recall(source, stamp))
        .map(|(pending, unread, mut provenance)| {
            for one in &mut provenance {
                one.source.push_str(KEPT);
            }
            (pending, unread, provenance)
        });
    let (pending, unread, provenance) = kept.unwrap_or_else(|| {
        let mut own = Notes::new(v1::SectionKind::Updates);
        let pending = apt::pending(source, &mut own);
        let (unread, provenance) = own.finish();
        if let Some((stamp, true)) = &stamped {
            remember(source, stamp, (&pending, &unread, &provenance));
        }
        (pending, unread, provenance)
    });
    notes.join(unread, provenance);
    pending
}

type Answer = (Vec<v1::PendingUpdate>, Vec<v1::Unread>, Vec<v1::Provenance>);

/// One digest over all that [`apt::pending`] reads, and whether all of it has been at rest; `None` where nothing can be kept
/// or something cannot be stamped.
fn stamp(source: &Source) -> Option<([u8; 32], bool)> {
    if !source.has_memory() {
        return None;
    }
    let mut digest = Sha256::new();
    // An answer of another program's rules is none.
    digest.update(env!("CARGO_PKG_VERSION"));
    digest.update(VERSION.to_be_bytes());
    let mut newest = i64::MIN;
    let mut add = |path: &str, stamp: Stamp| {
        newest = newest.max(stamp.touched_ms());
        digest.update((path.len() as u64).to_be_bytes());
        digest.update(path);
        digest.update(stamp.bytes());
    };
    for path in apt::READ_FROM {
        let stamp = match source.stamp(path) {
            Ok(stamp) => stamp,
            Err(why) if why.is_no_source() => continue,
            Err(_) => return None,
        };
        let folder = stamp.is_folder();
        add(path, stamp);
        if folder {
            for name in source.list(path).ok()? {
                let path = format!("{path}/{name}");
                add(&path, source.stamp(&path).ok()?);
            }
        }
    }
    let settled = newest < chasqui_base::clock::now_ms().saturating_sub(SETTLED_MS);
    Some((digest.finalize().into(), settled))
}

fn remember(
    source: &Source,
    stamp: &[u8; 32],
    (pending, unread, provenance): (&[v1::PendingUpdate], &[v1::Unread], &[v1::Provenance]),
) {
    let passing = |unread: &v1::Unread| {
        use v1::UnreadReason as Reason;
        !matches!(
            unread.reason(),
            Reason::NoSource | Reason::Malformed | Reason::TooLarge
        )
    };
    // What failed may succeed the next time, without anything being touched.
    if unread.iter().any(passing) {
        return;
    }
    let facts = v1::SectionFacts {
        facts: Some(Facts::Updates(v1::UpdatesFacts {
            pending: pending.to_vec(),
            ..Default::default()
        })),
        unread: unread.to_vec(),
    };
    let section = v1::Section {
        kind: v1::SectionKind::Updates.into(),
        digest: stamp.to_vec().into(),
        facts: facts.encode_to_vec().into(),
        provenance: provenance.to_vec(),
        ..Default::default()
    };
    source.remember(KEY, &section.encode_to_vec());
}

fn recall(source: &Source, stamp: &[u8; 32]) -> Option<Answer> {
    let section = v1::Section::decode(&*source.recall(KEY)?).ok()?;
    if section.digest != stamp[..] {
        return None;
    }
    let facts = v1::SectionFacts::decode(section.facts).ok()?;
    match facts.facts? {
        Facts::Updates(updates) => Some((updates.pending, facts.unread, section.provenance)),
        _ => None,
    }
}
