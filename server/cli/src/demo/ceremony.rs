//! The trust of the demo, made the way an organisation makes it: root keys in a closed folder, two of three signatures, an
//! administrator for people, a publisher for actions. The passphrase of these keys exists in this process and, when the
//! demo stays up, on its screen; it is written nowhere.

use std::path::{Path, PathBuf};

use chasqui_base::clock;
use chasqui_trust::people::{Custody, Duty, Person, PersonKey};
use chasqui_trust::{PublicKey, SigningKey};
use zeroize::Zeroizing;

use crate::catalogue::read;
use crate::failure::{Exit, Failure, Outcome};
use crate::trust::folder::{DAY_MS, Folder, Kind, sign_draft};
use crate::trust::{edit, init, renew};
use crate::{catalogue, input, key};

/// Definitions built into this program; the same files the server's catalogue folder holds.
const DEFINITIONS: [&str; 2] = [
    include_str!("../../../catalogue/disk.clean.temp.json"),
    include_str!("../../../catalogue/system.library-cache.rebuild.json"),
];

/// Keys of the ceremony, in memory.
pub struct Keys {
    root: Vec<SigningKey>,
    admin: SigningKey,
    publisher: SigningKey,
    /// Opens the key files.
    pub passphrase: Zeroizing<String>,
}

/// A person with a key.
#[derive(Clone, Debug)]
pub struct Signer {
    /// Account id.
    pub id: String,
    /// Name.
    pub name: String,
    /// Public half.
    pub key: PublicKey,
    /// What they may sign.
    pub duties: Vec<Duty>,
}

/// Fresh keys.
pub fn keys() -> Outcome<Keys> {
    let mut root = Vec::new();
    for _ in 0..3 {
        root.push(key::generate()?);
    }
    Ok(Keys {
        root,
        admin: key::generate()?,
        publisher: key::generate()?,
        passphrase: passphrase()?,
    })
}

/// Random words would be kinder; random letters are shorter to read out.
pub fn passphrase() -> Outcome<Zeroizing<String>> {
    let text = hex::encode(input::random::<10>()?);
    Ok(Zeroizing::new(text))
}

impl Keys {
    /// Key files and their keys, to be written while other things start: stretching the passphrase takes its time.
    pub fn files(&self, folder: &Path) -> Vec<(PathBuf, &SigningKey)> {
        let keys = Folder::at(folder).file("keys");
        let mut files: Vec<(PathBuf, &SigningKey)> = self
            .root
            .iter()
            .enumerate()
            .map(|(n, key)| (keys.join(format!("root-{}.pem", n + 1)), key))
            .collect();
        files.push((keys.join("admin-1.pem"), &self.admin));
        files.push((keys.join("publisher-1.pem"), &self.publisher));
        files
    }

    /// The root, signed by two of its three keys.
    pub fn sign_root(
        &self,
        folder: &Path,
        org: &str,
        agents_url: &str,
        people_url: &str,
        ca_file: &Path,
    ) -> Outcome<PathBuf> {
        let folder = Folder::at(folder);
        let public = |keys: &[&SigningKey]| keys.iter().map(|k| k.public_key()).collect();
        let plan = init::Plan {
            org: org.to_owned(),
            root: (self.root.iter().map(SigningKey::public_key).collect(), 2),
            admins: (public(&[&self.admin]), 1),
            publishers: (public(&[&self.publisher]), 1),
            coordinator: init::coordinator(None, agents_url, people_url, &[ca_file.to_owned()])?,
            thresholds: Vec::new(),
            break_glass: None,
            days: 365,
        };
        let path = folder.write_draft(Kind::Root, &plan.root(clock::now_ms()))?;
        let signers: Vec<&SigningKey> = self.root.iter().take(2).collect();
        let standing = sign_draft(&path, &signers, clock::now_ms())?;
        complete(standing)
    }

    /// People document and catalogue, signed.
    pub fn sign_documents(
        &self,
        folder: &Path,
        signers: &[Signer],
        from: Option<&Path>,
    ) -> Outcome<usize> {
        let folder = Folder::at(folder);
        let now = clock::now_ms();
        let persons = signers
            .iter()
            .map(|signer| Person {
                id: signer.id.clone(),
                name: signer.name.clone(),
                keys: vec![PersonKey {
                    key: signer.key,
                    custody: Custody::File,
                    max_risk: 3,
                    not_before_ms: now,
                    not_after_ms: now + 90 * DAY_MS,
                }],
                duties: signer.duties.clone(),
            })
            .collect();
        edit::put_persons(&folder, persons)?;
        complete(renew::people(&folder, &[&self.admin], 30)?)?;
        let definitions = definitions(from)?;
        let publisher = [&self.publisher];
        complete(catalogue::sign::with_keys(
            &folder,
            &definitions,
            &publisher,
            180,
        )?)?;
        Ok(definitions.len())
    }
}

/// Canonical definitions of a folder, else the built-in ones.
fn definitions(folder: Option<&Path>) -> Outcome<Vec<Vec<u8>>> {
    match folder {
        Some(folder) => read::files(&[folder.to_owned()])?
            .iter()
            .map(|file| Ok(read::file(file)?.1))
            .collect(),
        None => DEFINITIONS
            .iter()
            .map(|text| read::canonical(text.as_bytes()))
            .collect(),
    }
}

fn complete(standing: crate::trust::folder::Standing) -> Outcome<PathBuf> {
    if standing.complete {
        return Ok(standing.file);
    }
    Err(standing.missing.unwrap_or_else(|| {
        Failure::new(
            Exit::Invalid,
            "TRUST_SIGNATURES_MISSING",
            "faltan firmas",
            "signatures are missing",
        )
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_definitions_are_valid() {
        assert_eq!(definitions(None).unwrap().len(), 2);
    }
}
