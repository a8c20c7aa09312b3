//! What a root, people document or catalogue says, for the eyes of whoever is about to sign or install it.

use chasqui_base::text::Lang;
use chasqui_trust::people::{Custody, Duty};
use chasqui_trust::root::Role;
use chasqui_trust::{Catalogue, Document as _, Envelope, People, Root, TrustState};
use serde_json::{Value, json};

use crate::failure::Outcome;
use crate::output::{Screen, Tone, clean};
use crate::trust::folder::{DAY_MS, Kind};
use crate::trust::init::short;

/// From this many days before its end on, a document is due.
pub const WARN_DAYS: i64 = 10;

/// A document and what is known of its signatures.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Which.
    pub kind: Kind,
    /// The paper.
    pub paper: Paper,
    /// Ids of keys whose signatures hold.
    pub signed_by: Vec<String>,
    /// True when it would be believed under the root it was checked against.
    pub verified: bool,
    /// Why not.
    pub because: Option<crate::failure::Failure>,
}

/// One of three.
#[derive(Clone, Debug)]
pub enum Paper {
    /// The root.
    Root(Root),
    /// The people document.
    People(People),
    /// The catalogue.
    Catalogue(Catalogue),
}

impl Paper {
    /// Version, issue and end.
    pub fn dates(&self) -> (u64, i64, i64) {
        match self {
            Self::Root(p) => (p.version, p.issued_at_ms, p.expires_at_ms),
            Self::People(p) => (p.version, p.issued_at_ms, p.expires_at_ms),
            Self::Catalogue(p) => (p.version, p.issued_at_ms, p.expires_at_ms),
        }
    }
}

/// Reads a document and checks it: a root against itself (and against `root` when that is an older one), the others
/// against `root`.
pub fn examine(bytes: &[u8], root: Option<&[u8]>, now_ms: i64) -> Outcome<Shown> {
    let envelope = Envelope::from_json(bytes)?;
    let kind = Kind::of(&envelope)?;
    let paper = match kind {
        Kind::Root => Paper::Root(Root::decode(&envelope)?),
        Kind::People => Paper::People(People::decode(&envelope)?),
        Kind::Catalogue => Paper::Catalogue(Catalogue::decode(&envelope)?),
    };
    let known = match (&paper, root) {
        (Paper::Root(root), _) => root.keys.clone(),
        (_, Some(root)) => TrustState::from_root(root)?.root().keys.clone(),
        (_, None) => Vec::new(),
    };
    let signed_by = known
        .iter()
        .filter(|key| envelope.is_signed_by(key))
        .map(|key| key.id().to_string())
        .collect();
    let because = check(&paper, bytes, root, now_ms).err();
    Ok(Shown {
        kind,
        paper,
        signed_by,
        verified: because.is_none(),
        because,
    })
}

fn check(paper: &Paper, bytes: &[u8], root: Option<&[u8]>, now_ms: i64) -> Outcome {
    match (paper, root) {
        (Paper::Root(new), Some(pinned)) => {
            let mut state = TrustState::from_root(pinned)?;
            if new.version > state.root().version {
                state.accept_root(bytes)?;
            } else {
                TrustState::from_root(bytes)?;
            }
        }
        (Paper::Root(_), None) => {
            TrustState::from_root(bytes)?;
        }
        (Paper::People(_), Some(root)) => {
            TrustState::from_root(root)?.accept_people(bytes, now_ms)?;
        }
        (Paper::Catalogue(_), Some(root)) => {
            TrustState::from_root(root)?.accept_catalogue(bytes, now_ms)?;
        }
        (_, None) => {
            return Err(crate::failure::Failure::new(
                crate::failure::Exit::NotFound,
                "ROOT_NOT_PINNED",
                "no hay una raíz con que comprobarlo",
                "there is no root to check it against",
            ));
        }
    }
    Ok(())
}

/// What is due soon or over, in words; none when nothing is.
pub fn expiry_warning(kind: Kind, expires_at_ms: i64, now_ms: i64, lang: Lang) -> Option<String> {
    let left_ms = expires_at_ms - now_ms;
    if left_ms > WARN_DAYS * DAY_MS {
        return None;
    }
    let (es, en, command) = match kind {
        Kind::Root => ("la raíz", "the root", "chasqui trust new-root"),
        Kind::People => (
            "el documento de personas",
            "the people document",
            "chasqui trust renew",
        ),
        Kind::Catalogue => ("el catálogo", "the catalogue", "chasqui catalogue sign"),
    };
    let what = lang.pick(es, en);
    Some(if left_ms <= 0 {
        match lang {
            Lang::Es => format!("{what} venció: ninguna orden puede ejecutarse hasta renovarlo"),
            Lang::En => format!("{what} expired: no order can run before it is renewed"),
        }
    } else {
        let days = left_ms / DAY_MS;
        match lang {
            Lang::Es => format!("{what} vence en {days} días; renuévelo con: {command}"),
            Lang::En => {
                format!("{what} expires in {days} days; renew it with: {command}")
            }
        }
    })
}

/// The document for people.
pub fn render(screen: &Screen, shown: &Shown, now_ms: i64) -> String {
    let (version, issued, expires) = shown.paper.dates();
    let name = match shown.kind {
        Kind::Root => screen.say("raíz de confianza", "root of trust"),
        Kind::People => screen.say("documento de personas", "people document"),
        Kind::Catalogue => screen.say("catálogo de acciones", "catalogue of actions"),
    };
    let org = match &shown.paper {
        Paper::Root(p) => &p.org,
        Paper::People(p) => &p.org,
        Paper::Catalogue(p) => &p.org,
    };
    let mut out = format!(
        "{}\n{}",
        screen.tone(Tone::Strong, &format!("{name} v{version}")),
        screen.fields(&[
            (screen.say("organización", "organisation"), org.clone()),
            (screen.say("emitido", "issued"), screen.time(issued)),
            (screen.say("vence", "expires"), screen.time(expires)),
        ])
    );
    match &shown.paper {
        Paper::Root(root) => out.push_str(&render_root(screen, root)),
        Paper::People(people) => out.push_str(&render_people(screen, people)),
        Paper::Catalogue(catalogue) => {
            for entry in &catalogue.definitions {
                out.push_str(&format!(
                    "  {} v{}  {}\n",
                    clean(&entry.id),
                    entry.version,
                    entry.digest
                ));
            }
        }
    }
    let signed = if shown.signed_by.is_empty() {
        screen.say("nadie", "nobody").to_owned()
    } else {
        shown
            .signed_by
            .iter()
            .map(|id| id.chars().take(12).collect::<String>())
            .collect::<Vec<_>>()
            .join(", ")
    };
    out.push_str(&format!(
        "  {} {signed}\n",
        screen.say("firmado por:", "signed by:")
    ));
    match &shown.because {
        None => out.push_str(&format!(
            "{} {}\n",
            screen.tone(Tone::Good, "✔"),
            screen.say("las firmas bastan", "the signatures suffice")
        )),
        Some(failure) => out.push_str(&format!(
            "{} {} [{}]\n",
            screen.tone(Tone::Bad, "✘"),
            clean(failure.text.get(screen.lang)),
            failure.code
        )),
    }
    if let Some(warning) = expiry_warning(shown.kind, expires, now_ms, screen.lang) {
        out.push_str(&format!("{} {warning}\n", screen.tone(Tone::Warn, "!")));
    }
    out
}

fn render_root(screen: &Screen, root: &Root) -> String {
    let mut out = String::new();
    let mut role = |name: &str, role: &Role| {
        let keys: Vec<String> = role.key_ids.iter().map(short).collect();
        out.push_str(&format!(
            "  {name}: {} {} {} — {}\n",
            role.threshold,
            screen.say("de", "of"),
            role.key_ids.len(),
            keys.join(", ")
        ));
    };
    role(screen.say("claves raíz", "root keys"), &root.root);
    role(
        screen.say("administran la confianza", "trust administrators"),
        &root.trust_admins,
    );
    role(screen.say("publican", "publishers"), &root.publishers);
    for coordinator in &root.coordinators {
        out.push_str(&format!(
            "  {} {} — {} · {}\n",
            screen.say("coordinador", "coordinator"),
            clean(&coordinator.name),
            clean(&coordinator.agents_url),
            clean(&coordinator.people_url)
        ));
        for digest in &coordinator.ca_sha256 {
            out.push_str(&format!(
                "    {} {digest}\n",
                screen.say("autoridad", "authority")
            ));
        }
    }
    for row in &root.thresholds {
        let line = match screen.lang {
            Lang::Es => format!(
                "  riesgo hasta {} en hasta {} equipos: {} aprobaciones\n",
                row.max_risk, row.max_targets, row.approvals
            ),
            Lang::En => format!(
                "  risk up to {} on up to {} machines: {} approvals\n",
                row.max_risk, row.max_targets, row.approvals
            ),
        };
        out.push_str(&line);
    }
    if root.single_signer() {
        out.push_str(&format!(
            "  {} {}\n",
            screen.tone(Tone::Warn, "!"),
            screen.say(
                "una sola clave puede cambiar la raíz: queda dicho en toda evidencia",
                "one key alone can change the root: all evidence says so"
            )
        ));
    }
    out
}

fn render_people(screen: &Screen, people: &People) -> String {
    let mut out = String::new();
    for person in &people.persons {
        let duties: Vec<&str> = person
            .duties
            .iter()
            .map(|duty| match duty {
                Duty::Request => screen.say("solicita", "requests"),
                Duty::Approve => screen.say("aprueba", "approves"),
            })
            .collect();
        out.push_str(&format!(
            "  {} ({}) — {}\n",
            clean(&person.name),
            clean(&person.id),
            duties.join(", ")
        ));
        for key in &person.keys {
            let custody = match key.custody {
                Custody::File => screen.say("archivo", "file"),
                Custody::Hardware => screen.say("dispositivo", "hardware"),
                Custody::Browser => screen.say("navegador", "browser"),
            };
            out.push_str(&format!(
                "    {} {}, {custody}, {} {}, {} {}\n",
                screen.say("clave", "key"),
                short(&key.key.id()),
                screen.say("riesgo hasta", "risk up to"),
                key.max_risk,
                screen.say("hasta", "until"),
                screen.time(key.not_after_ms)
            ));
        }
    }
    out
}

/// The document for scripts.
pub fn to_json(shown: &Shown) -> Value {
    let (version, issued, expires) = shown.paper.dates();
    let content = match &shown.paper {
        Paper::Root(p) => serde_json::to_value(p),
        Paper::People(p) => serde_json::to_value(p),
        Paper::Catalogue(p) => serde_json::to_value(p),
    }
    .unwrap_or(Value::Null);
    json!({
        "document": shown.kind.name(),
        "version": version,
        "issued_at_ms": issued,
        "expires_at_ms": expires,
        "signed_by": shown.signed_by,
        "verified": shown.verified,
        "not_verified_because": shown.because.as_ref().map(|f| f.code.clone()),
        "content": content,
    })
}
