//! The stage of the attack: an organisation, one machine with the real agent, and a coordinator that is the enemy. It
//! holds what the server holds: the authority's key, every browser-held key, every paper, order and session. It does not
//! hold the key files of people, those of the trust administrators and publishers, nor the machine's.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use chasqui_base::clock::{self, DAY_MS};
use chasqui_proto::v1::server_message::Message as FromServer;
use chasqui_proto::v1::{self};
use chasqui_trust::definition::Definition;
use chasqui_trust::people::{Custody, Duty, Person, PersonKey};
use chasqui_trust::result::Outcome;
use chasqui_trust::root::{Role, Threshold};
use chasqui_trust::{
    ActionResult, Catalogue, CatalogueEntry, Digest, Document, Envelope, KeyId, OrderBundle,
    People, PublicKey, Root, SigningKey, sign, verify_result,
};

use crate::draft::{Draft, rich};
use crate::support::*;

/// Every code an agent may answer these with stands here.
const PAGES: [&str; 1] = [include_str!("../../../docs/trust-formats.md")];
/// Deliveries between two barriers: below what the machine takes in at once.
const WINDOW: usize = 60;

pub struct Stage {
    pub coordinator: Coordinator,
    pub machine: Machine,
    agent: Option<Running>,
    /// The machine's clock against the real one, milliseconds.
    offset_ms: Cell<i64>,
    pub device: PublicKey,
    pub definition: Definition,
    pub stolen: Stolen,
    pub marker: PathBuf,
    /// Good orders that ran: the marks there may be.
    good: Cell<usize>,
    codes: std::cell::RefCell<BTreeMap<String, usize>>,
}

/// The keys the coordinator holds.
pub struct Stolen {
    pub ana: SigningKey,
    pub beto: SigningKey,
    pub carla: SigningKey,
    pub authority: SigningKey,
    pub fresh: SigningKey,
}

/// What a forged paper is signed with.
#[derive(Clone, Copy, Debug)]
pub enum Forgery {
    OriginalSignature,
    BrowserKey,
    AuthorityKey,
    FreshKey,
    FreshKeyUnderTheRightName,
    FreshKeyUnderTheDevicesName,
    NoSignature,
}

pub const FORGERIES: [Forgery; 7] = [
    Forgery::OriginalSignature,
    Forgery::BrowserKey,
    Forgery::AuthorityKey,
    Forgery::FreshKey,
    Forgery::FreshKeyUnderTheRightName,
    Forgery::FreshKeyUnderTheDevicesName,
    Forgery::NoSignature,
];

/// One delivery that must have no effect.
pub struct Attack {
    pub label: String,
    /// The id it is delivered under, its own for each, so that its answer is found.
    pub id: String,
    pub bytes: Vec<u8>,
}

impl Attack {
    pub fn new(label: impl Into<String>, bytes: Vec<u8>) -> Self {
        Self {
            label: label.into(),
            id: clock::new_id().to_string(),
            bytes,
        }
    }

    pub fn of(label: impl Into<String>, bundle: &OrderBundle) -> Self {
        Self::new(label, serde_json::to_vec(bundle).unwrap())
    }
}

fn person(id: &str, keys: Vec<PersonKey>, duties: &[Duty]) -> Person {
    Person {
        id: id.into(),
        name: format!("Persona {id}"),
        keys,
        duties: duties.to_vec(),
    }
}

impl Stage {
    /// The machine is enrolled, holds all papers in version 1, and its agent runs.
    pub fn new() -> Self {
        let organisation = Organisation::new();
        let key = |seed: u8| SigningKey::generate([seed; 32]);
        let stolen = Stolen {
            ana: key(21),
            beto: key(22),
            carla: key(23),
            authority: organisation.ca.signing_key(),
            fresh: key(24),
        };
        let coordinator = Coordinator::start(organisation);
        coordinator.book().certificate = (DAY_MS, 500 * DAY_MS);
        let machine = Machine::new(&coordinator);
        machine.enrol();
        let device = machine.public_key();
        let marker = machine.folder.path().join("marker");
        let definition = rich(&marker);
        let mut stage = Self {
            coordinator,
            machine,
            agent: None,
            offset_ms: Cell::new(0),
            device,
            definition,
            stolen,
            marker,
            good: Cell::new(0),
            codes: Default::default(),
        };
        {
            let mut book = stage.coordinator.book();
            book.people = sign(&stage.people(1), &[stage.admin()]).unwrap().to_json();
            book.catalogue = stage.sign_catalogue(&stage.catalogue(1)).to_json();
        }
        stage.restart(0);
        until("papers", || (stage.versions() == (1, 1, 1)).then_some(()));
        stage
    }

    /// Stops the agent if it runs and starts it with a clock that is off by this much; waits for its link.
    pub fn restart(&mut self, offset_ms: i64) {
        if let Some(agent) = self.agent.take() {
            agent.stop();
        }
        let before = self.coordinator.book().hellos.len();
        self.offset_ms.set(offset_ms);
        let offset = offset_ms.to_string();
        let env = [("CHASQUI_CLOCK_OFFSET_MS", offset.as_str())];
        self.agent = Some(
            self.machine
                .run_with(if offset_ms == 0 { &[] } else { &env }),
        );
        until("a link", || {
            (self.coordinator.book().hellos.len() > before
                && self.machine.status().link == chasqui_agent::status::Link::Connected)
                .then_some(())
        });
    }

    /// The time on the machine.
    pub fn now_ms(&self) -> i64 {
        clock::now_ms() + self.offset_ms.get()
    }

    pub fn pid(&self) -> u32 {
        self.agent.as_ref().unwrap().child.id()
    }

    fn log(&self) -> String {
        self.agent.as_ref().unwrap().log()
    }

    pub fn organisation(&self) -> &Organisation {
        &self.coordinator.organisation
    }

    pub fn admin(&self) -> &SigningKey {
        &self.organisation().admin_key
    }

    pub fn versions(&self) -> (u64, u64, u64) {
        let status = self.machine.status();
        (
            status.root_version,
            status.people_version,
            status.catalogue_version,
        )
    }

    /// A root with nothing left out.
    pub fn root(&self, version: u64) -> Root {
        let root = self.organisation().root_document();
        Root {
            version,
            release: Some(Role {
                key_ids: vec![self.admin().key_id()],
                threshold: 1,
            }),
            thresholds: vec![
                Threshold {
                    max_risk: 2,
                    max_targets: 50,
                    approvals: 1,
                },
                Threshold {
                    max_risk: 4,
                    max_targets: 100,
                    approvals: 2,
                },
            ],
            break_glass: Some(Threshold {
                max_risk: 1,
                max_targets: 1,
                approvals: 1,
            }),
            ..root
        }
    }

    pub fn people(&self, version: u64) -> People {
        let organisation = self.organisation();
        let key = |key: &SigningKey, custody, max_risk| PersonKey {
            key: key.public_key(),
            custody,
            max_risk,
            not_before_ms: organisation.issued_at_ms,
            not_after_ms: organisation.issued_at_ms + 300 * DAY_MS,
        };
        let browser = |of: &SigningKey| key(of, Custody::Browser, 1);
        People {
            critical: vec![],
            org: ORG.into(),
            version,
            issued_at_ms: organisation.issued_at_ms,
            expires_at_ms: organisation.issued_at_ms + 20 * DAY_MS,
            persons: vec![
                person(
                    "ana",
                    vec![
                        key(&organisation.requester_key, Custody::File, 4),
                        browser(&self.stolen.ana),
                    ],
                    &[Duty::Request],
                ),
                person(
                    "beto",
                    vec![
                        key(&organisation.approver_key, Custody::Hardware, 4),
                        browser(&self.stolen.beto),
                    ],
                    &[Duty::Approve],
                ),
                person(
                    "carla",
                    vec![browser(&self.stolen.carla)],
                    &[Duty::Request, Duty::Approve],
                ),
            ],
        }
    }

    pub fn catalogue(&self, version: u64) -> Catalogue {
        let issued_at_ms = self.organisation().issued_at_ms;
        Catalogue {
            critical: vec![],
            org: ORG.into(),
            version,
            issued_at_ms,
            expires_at_ms: issued_at_ms + 90 * DAY_MS,
            definitions: [self.definition.clone(), self.harmless()]
                .iter()
                .map(entry)
                .collect(),
        }
    }

    /// The same action at a risk for which a browser-held key is enough.
    pub fn harmless(&self) -> Definition {
        Definition {
            id: "test.harmless".into(),
            risk: 1,
            ..self.definition.clone()
        }
    }

    pub fn sign_catalogue(&self, catalogue: &Catalogue) -> Envelope {
        let organisation = self.organisation();
        let keys = [
            &organisation.publisher_key,
            &organisation.second_publisher_key,
        ];
        sign(catalogue, &keys).unwrap()
    }

    /// A paper whose payload is not what was signed.
    pub fn forge(
        &self,
        how: Forgery,
        original: &Envelope,
        browser: &SigningKey,
        payload: Vec<u8>,
    ) -> Envelope {
        let mut forged = Envelope {
            payload,
            payload_type: original.payload_type.clone(),
            signatures: vec![],
        };
        let right_name = original.signatures[0].key_id;
        match how {
            Forgery::OriginalSignature => forged.signatures = original.signatures.clone(),
            Forgery::BrowserKey => forged.add_signature(browser),
            Forgery::AuthorityKey => forged.add_signature(&self.stolen.authority),
            Forgery::NoSignature => {}
            Forgery::FreshKey
            | Forgery::FreshKeyUnderTheRightName
            | Forgery::FreshKeyUnderTheDevicesName => forged.add_signature(&self.stolen.fresh),
        }
        match how {
            Forgery::FreshKeyUnderTheRightName => forged.signatures[0].key_id = right_name,
            Forgery::FreshKeyUnderTheDevicesName => {
                forged.signatures[0].key_id = KeyId(self.device.fingerprint());
            }
            _ => {}
        }
        forged
    }

    /// Runs a good order, which shows that the machine listens and that what was delivered before it has been judged.
    pub fn good(&self, when: &str) {
        let result = self.run(when, &Draft::new(self));
        assert_eq!(result.outcome, Outcome::Succeeded, "{when}: {result:?}");
        self.good.set(self.good.get() + 1);
        self.assert_no_mark(when);
    }

    /// Delivers an order, signed and approved as it stands, and waits for its result.
    pub fn run(&self, when: &str, draft: &Draft<'_>) -> ActionResult {
        let bundle = draft.bundle();
        let id = &draft.order.id;
        self.push(id, bundle.encode().unwrap());
        until(when, || self.result_of(id, &bundle.order_digest()))
    }

    /// A properly authorised order that ran elsewhere than in [`Stage::good`].
    pub fn expect_mark(&self) {
        self.good.set(self.good.get() + 1);
    }

    pub fn assert_no_mark(&self, when: &str) {
        assert_eq!(marks(&self.marker), self.good.get(), "{when}");
    }

    pub fn push(&self, id: &str, bundle: Vec<u8>) {
        self.coordinator
            .push_all([FromServer::Order(v1::OrderDelivery {
                order_id: id.to_owned(),
                bundle: bundle.into(),
            })]);
    }

    /// The last answer for the order of this digest.
    pub fn result_of(&self, id: &str, digest: &Digest) -> Option<ActionResult> {
        let book = self.coordinator.book();
        let submitted = book.results.iter().rev().find(|r| r.order_id == id)?;
        Some(verify_result(&submitted.envelope, digest, &self.device).unwrap())
    }

    /// Delivers all of them, waits until each was judged, and holds the answers against what an agent owes: silence for
    /// what holds no order, a signed refusal with a known code for everything else. Answers the codes.
    pub fn attack(&self, attacks: Vec<Attack>) -> Vec<Option<String>> {
        let mut codes = Vec::with_capacity(attacks.len());
        for window in attacks.chunks(WINDOW) {
            self.coordinator.book().results.clear();
            let draft = Draft::new(self);
            let mut barrier = draft.bundle();
            barrier.order.signatures.clear();
            barrier.order.add_signature(&self.stolen.fresh);
            let barrier = Attack::of("barrier", &barrier);
            self.coordinator
                .push_all(window.iter().chain([&barrier]).map(|attack| {
                    FromServer::Order(v1::OrderDelivery {
                        order_id: attack.id.clone(),
                        bundle: attack.bytes.clone().into(),
                    })
                }));
            let last = &window.last().unwrap().label;
            until(last, || {
                let book = self.coordinator.book();
                let answered = book.results.iter().any(|r| r.order_id == barrier.id);
                answered.then_some(())
            });
            let answers: HashMap<String, v1::SubmitResultRequest> = self
                .coordinator
                .book()
                .results
                .drain(..)
                .map(|result| (result.order_id.clone(), result))
                .collect();
            for attack in window {
                let code = self.code_of(attack, answers.get(&attack.id));
                let counted = code.clone().unwrap_or_else(|| "(silence)".into());
                *self.codes.borrow_mut().entry(counted).or_default() += 1;
                codes.push(code);
            }
            self.assert_no_mark(last);
        }
        codes
    }

    fn code_of(&self, attack: &Attack, answer: Option<&v1::SubmitResultRequest>) -> Option<String> {
        let label = &attack.label;
        let Ok(bundle) = OrderBundle::decode(&attack.bytes) else {
            assert!(answer.is_none(), "{label}: an answer to what is no order");
            return None;
        };
        let answer = answer.unwrap_or_else(|| panic!("{label}: no answer"));
        let result = verify_result(&answer.envelope, &bundle.order_digest(), &self.device)
            .unwrap_or_else(|error| panic!("{label}: {error:?}"));
        assert_eq!(result.outcome, Outcome::Refused, "{label}: {result:?}");
        let rule = result.refusal.unwrap().rule;
        assert!(
            PAGES.iter().any(|page| page.contains(&format!("`{rule}`"))),
            "{label}: {rule} stands in no page"
        );
        Some(rule)
    }

    /// How often each answer was given.
    pub fn print_codes(&self, group: &str, count: usize) {
        eprintln!("{group}: {count} deliveries, {:?}", self.codes.take());
    }

    /// Offers each of these papers once, in any order, and waits until all were judged. Answers the codes, counted.
    pub fn offer(&self, papers: Vec<v1::FetchTrustDocumentsResponse>) -> BTreeMap<String, usize> {
        let before = self.refused_papers();
        let accepted = || self.log().matches("signed documents accepted").count();
        let judged = || {
            let refused = self.log().matches("signed document not accepted").count();
            refused + accepted()
        };
        let accepted_before = accepted();
        let mut expected = judged();
        let count = papers.len();
        self.coordinator.book().papers.extend(papers);
        for window in vec![(); count].chunks(WINDOW) {
            self.coordinator
                .push_all(window.iter().map(|()| newer_papers()));
            expected += window.len();
            until("papers judged", || {
                // One that was accepted may lead to more questions; then the caller finds it among what is held.
                let all_out = self.coordinator.book().papers.is_empty();
                (judged() >= expected || (all_out && accepted() > accepted_before)).then_some(())
            });
        }
        let mut codes = self.refused_papers();
        for (code, count) in before {
            *codes.get_mut(&code).unwrap() -= count;
        }
        codes.retain(|_, count| *count > 0);
        codes
    }

    fn refused_papers(&self) -> BTreeMap<String, usize> {
        let mut codes = BTreeMap::new();
        for line in self.log().lines() {
            if line.contains("signed document not accepted") {
                let code = line.split("code=\"").nth(1).unwrap_or_default();
                let code = code.split('"').next().unwrap_or_default().to_owned();
                *codes.entry(code).or_default() += 1;
            }
        }
        codes
    }

    /// The papers on the machine's disk.
    pub fn papers_held(&self) -> BTreeMap<String, Vec<u8>> {
        std::fs::read_dir(self.machine.state().join("trust"))
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let name = entry.file_name().into_string().unwrap();
                (name, std::fs::read(entry.path()).unwrap())
            })
            .collect()
    }
}

/// Says that there are newer papers, whichever the machine holds.
pub fn newer_papers() -> FromServer {
    FromServer::TrustChanged(v1::TrustChanged {
        root_version: u64::MAX,
        people_version: u64::MAX,
        catalogue_version: u64::MAX,
    })
}

pub fn entry(definition: &Definition) -> CatalogueEntry {
    CatalogueEntry {
        id: definition.id.clone(),
        version: definition.version,
        digest: definition.digest().unwrap(),
    }
}
