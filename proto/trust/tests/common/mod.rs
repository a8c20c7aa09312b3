//! One organisation with everything signed from fixed seeds, and a case that can be bent in one place at a time.
#![allow(dead_code)]

use chasqui_trust::bundle::OrderBundle;
use chasqui_trust::catalogue::{Catalogue, CatalogueEntry};
use chasqui_trust::definition::*;
use chasqui_trust::evidence::Evidence;
use chasqui_trust::merkle;
use chasqui_trust::order::{
    DefinitionRef, Leaf, Order, Parameter, ParameterValue, Start, Targets, TicketRef, leaf_hashes,
};
use chasqui_trust::people::{Custody, Duty, People, Person, PersonKey};
use chasqui_trust::result::{
    ActionResult, AnsweredBy, CheckFact, CheckResult, ConsentAnswer, ConsentReceipt, Outcome,
    Output, StepResult,
};
use chasqui_trust::root::{Coordinator, Role, Root, Threshold};
use chasqui_trust::statement::{Decision, Statement};
use chasqui_trust::{
    Authorised, DeviceIdentity, Digest, Document, Envelope, Refusal, SigningKey, Text, TrustState,
    VerifiedCatalogue, sign, verify_order,
};

pub const ORG: &str = "museo.example";
pub const MINUTE: i64 = 60_000;
pub const HOUR: i64 = 60 * MINUTE;
pub const DAY: i64 = 24 * HOUR;
/// 2026-11-02 12:00 UTC.
pub const T0: i64 = 1_793_620_800_000;

/// Keys by name; the seed is the SHA-256 of the name.
pub fn key(name: &str) -> SigningKey {
    SigningKey::generate(seed(name))
}

pub fn seed(name: &str) -> [u8; 32] {
    Digest::of(format!("chasqui test key: {name}").as_bytes()).0
}

pub const KEY_NAMES: &[&str] = &[
    "root-1",
    "root-2",
    "root-3",
    "admin-1",
    "admin-2",
    "publisher",
    "publisher-2",
    "ana",
    "ana-browser",
    "ana-old",
    "bruno",
    "bruno-token",
    "bruno-browser",
    "bruno-old",
    "bruno-low",
    "carla",
    "diego",
    "device-0",
    "device-1",
    "device-2",
    "log",
    "stranger",
];

pub fn root() -> Root {
    let ids = |names: &[&str]| names.iter().map(|n| key(n).key_id()).collect::<Vec<_>>();
    Root {
        critical: vec![],
        org: ORG.into(),
        version: 1,
        issued_at_ms: T0 - 30 * DAY,
        expires_at_ms: T0 + 365 * DAY,
        keys: [
            "root-1",
            "root-2",
            "root-3",
            "admin-1",
            "admin-2",
            "publisher",
            "publisher-2",
        ]
        .map(|n| key(n).public_key())
        .to_vec(),
        root: Role {
            key_ids: ids(&["root-1", "root-2", "root-3"]),
            threshold: 2,
        },
        trust_admins: Role {
            key_ids: ids(&["admin-1", "admin-2"]),
            threshold: 1,
        },
        publishers: Role {
            key_ids: ids(&["publisher", "publisher-2"]),
            threshold: 1,
        },
        release: None,
        coordinators: vec![Coordinator {
            name: "chasqui.museo.example".into(),
            agents_url: "https://chasqui.museo.example:7443".into(),
            people_url: "https://chasqui.museo.example".into(),
            ca_sha256: vec![Digest::of(b"ca")],
        }],
        thresholds: vec![
            Threshold {
                max_risk: 1,
                max_targets: 10,
                approvals: 0,
            },
            Threshold {
                max_risk: 3,
                max_targets: 10,
                approvals: 2,
            },
        ],
        break_glass: Some(Threshold {
            max_risk: 2,
            max_targets: 5,
            approvals: 1,
        }),
    }
}

pub fn people() -> People {
    let held = |name: &str, custody, max_risk| PersonKey {
        key: key(name).public_key(),
        custody,
        max_risk,
        not_before_ms: T0 - 60 * DAY,
        not_after_ms: T0 + 300 * DAY,
    };
    let old = |name: &str| PersonKey {
        not_after_ms: T0 - DAY,
        ..held(name, Custody::File, 4)
    };
    let person = |id: &str, name: &str, keys, duties: &[Duty]| Person {
        id: id.into(),
        name: name.into(),
        keys,
        duties: duties.to_vec(),
    };
    People {
        critical: vec![],
        org: ORG.into(),
        version: 7,
        issued_at_ms: T0 - DAY,
        expires_at_ms: T0 + 20 * DAY,
        persons: vec![
            person(
                "ana",
                "Ana Gómez",
                vec![
                    held("ana", Custody::File, 3),
                    held("ana-browser", Custody::Browser, 1),
                    old("ana-old"),
                ],
                &[Duty::Request, Duty::Approve],
            ),
            person(
                "bruno",
                "Bruno Díaz",
                vec![
                    held("bruno", Custody::File, 3),
                    held("bruno-token", Custody::Hardware, 4),
                    held("bruno-browser", Custody::Browser, 1),
                    old("bruno-old"),
                    held("bruno-low", Custody::File, 1),
                ],
                &[Duty::Approve],
            ),
            person(
                "carla",
                "Carla Ruiz",
                vec![held("carla", Custody::File, 4)],
                &[Duty::Request, Duty::Approve],
            ),
            person(
                "diego",
                "Diego Peña",
                vec![held("diego", Custody::File, 4)],
                &[Duty::Request],
            ),
        ],
    }
}

pub fn definition() -> Definition {
    Definition {
        critical: vec![],
        id: "disk.clean.temp".into(),
        version: 3,
        title: Text::new("Limpiar archivos temporales", "Clean temporary files"),
        summary: Text::new(
            "Borra archivos temporales viejos; nada de sus documentos.",
            "Deletes old temporary files; none of your documents.",
        ),
        plan: Text::new(
            "Borrará lo que nadie usó en {days} días",
            "Will delete what nobody used in {days} days",
        ),
        if_it_fails: Text::new(
            "Queda menos espacio; no se pierde trabajo",
            "Less space is left; no work is lost",
        ),
        platforms: vec![Platform::Linux],
        risk: 2,
        consent: Consent::Notify,
        when_absent: WhenAbsent::Proceed,
        approvals: 1,
        parameters: vec![
            ParameterSpec {
                name: "days".into(),
                title: Text::new("Días de antigüedad", "Age in days"),
                kind: ParameterKind::Integer { min: 1, max: 90 },
            },
            ParameterSpec {
                name: "skip".into(),
                title: Text::new("Nombres que se dejan", "Names left alone"),
                kind: ParameterKind::List {
                    max_items: 4,
                    max_length: 32,
                    class: CharClass::FileName,
                },
            },
            ParameterSpec {
                name: "note".into(),
                title: Text::new("Nota", "Note"),
                kind: ParameterKind::Text {
                    max_length: 40,
                    class: CharClass::Prose,
                    leading_dash: false,
                },
            },
        ],
        preconditions: vec![
            Precondition::BatteryAtLeast { percent: 20 },
            Precondition::FreeDisk {
                path: "/tmp".into(),
                bytes: 1 << 20,
            },
            Precondition::NoPendingReboot,
        ],
        locks: vec![
            Lock {
                resource: "temp-files".into(),
                parameter: None,
            },
            Lock {
                resource: "note".into(),
                parameter: Some("note".into()),
            },
        ],
        interrupts: vec![Interruption::Network],
        limits: Limits {
            memory_bytes: Some(256 << 20),
            cpu_percent: Some(50),
            processes: Some(64),
            priority: Priority::Low,
        },
        stop: StopPolicy::EndTree { grace_ms: 5_000 },
        time_limit_ms: 5 * MINUTE,
        check_time_limit_ms: MINUTE,
        steps: vec![
            Step {
                id: "clean".into(),
                title: Text::new("Borrar", "Delete"),
                run: Run::Builtin {
                    name: "files.clean".into(),
                    args: vec![NamedArg {
                        name: "older_than_days".into(),
                        value: ArgValue::Parameter("days".into()),
                    }],
                },
            },
            Step {
                id: "sync".into(),
                title: Text::new("Escribir al disco", "Write to disk"),
                run: Run::Program {
                    path: "/usr/bin/sync".into(),
                    args: vec![Arg::Literal("--file-system".into())],
                    success_codes: vec![0],
                    script_digest: None,
                },
            },
        ],
        check: Check {
            summary: Text::new("Hay más espacio libre", "There is more free space"),
            run: Run::Builtin {
                name: "disk.free".into(),
                args: vec![],
            },
        },
        undo: Some(Undo {
            summary: Text::new("Nada que devolver", "Nothing to bring back"),
            steps: vec![Step {
                id: "note".into(),
                title: Text::new("Anotar", "Note"),
                run: Run::Program {
                    path: "/usr/bin/logger".into(),
                    args: vec![Arg::Parameter("note".into())],
                    success_codes: vec![0],
                    script_digest: None,
                },
            }],
            when_check_fails: true,
            when_unreachable_ms: Some(5 * MINUTE),
        }),
        evidence: vec![EvidenceSpec {
            fact: "bytes_free".into(),
            title: Text::new("Bytes libres", "Bytes free"),
            unit: "bytes".into(),
            kind: FactKind::Number,
        }],
    }
}

pub fn leaves() -> Vec<Leaf> {
    (0..3)
        .map(|i| Leaf {
            device_fingerprint: key(&format!("device-{i}")).public_key().fingerprint(),
            host_name: format!("equipo-{i}"),
            plate: (i != 2).then(|| format!("MUS-00{i}")),
            not_before_ms: T0,
        })
        .collect()
}

type Edit<T> = Option<Box<dyn Fn(&mut T)>>;

/// All papers of one order before signing, and hooks that alter bytes between signing and delivery.
pub struct Case {
    pub root: Root,
    pub people: People,
    pub hold_people: bool,
    pub catalogue_expires_at_ms: i64,
    pub catalogue_digest: Option<Digest>,
    pub publishers: Vec<&'static str>,
    pub rotate_root: bool,
    pub offer_catalogue_again: bool,
    pub definition: Definition,
    /// Under which id order and catalogue name the definition.
    pub named: String,
    pub order: Order,
    pub order_key: &'static str,
    pub leaves: Vec<Leaf>,
    pub index: usize,
    pub statements: Vec<(Statement, &'static str)>,
    pub device: DeviceIdentity,
    pub now_ms: i64,
    /// Before signing, on payload bytes.
    pub edit_order_payload: Edit<String>,
    pub edit_statement_payload: Edit<String>,
    pub edit_definition: Edit<String>,
    /// After signing.
    pub edit_bundle: Edit<OrderBundle>,
    pub edit_bytes: Edit<Vec<u8>>,
}

impl Case {
    /// An order of risk 2 by Ana for three machines, approved by Bruno and Carla; judged by machine 1.
    pub fn good() -> Self {
        let order = Order {
            critical: vec![],
            org: ORG.into(),
            id: "019e4a00-0000-7000-8000-000000000001".into(),
            definition: DefinitionRef {
                id: String::new(),
                version: 3,
                digest: Digest([0; 32]),
            },
            parameters: vec![
                Parameter {
                    name: "days".into(),
                    value: ParameterValue::Integer(30),
                },
                Parameter {
                    name: "skip".into(),
                    value: ParameterValue::List(vec!["cache".into(), "sesión 1".into()]),
                },
                Parameter {
                    name: "note".into(),
                    value: ParameterValue::Text("disco lleno".into()),
                },
            ],
            ticket: TicketRef {
                id: "019e4a00-0000-7000-8000-0000000000aa".into(),
                number: "MA-2026-000123".into(),
            },
            reason: "El disco está al 97 %.".into(),
            requester: "ana".into(),
            created_at_ms: T0,
            not_before_ms: T0,
            not_after_ms: T0 + 2 * DAY,
            min_people_version: 7,
            min_catalogue_version: 4,
            consent: Consent::Notify,
            start: Start::Now,
            break_glass: false,
            targets: Targets {
                count: 0,
                merkle_root: Digest([0; 32]),
            },
        };
        Self {
            root: root(),
            people: people(),
            hold_people: true,
            catalogue_expires_at_ms: T0 + 60 * DAY,
            catalogue_digest: None,
            publishers: vec!["publisher"],
            rotate_root: false,
            offer_catalogue_again: false,
            definition: definition(),
            named: "disk.clean.temp".into(),
            order,
            order_key: "ana",
            leaves: leaves(),
            index: 1,
            statements: vec![approval("bruno", "bruno"), approval("carla", "carla")],
            device: device(1),
            now_ms: T0 + HOUR,
            edit_order_payload: None,
            edit_statement_payload: None,
            edit_definition: None,
            edit_bundle: None,
            edit_bytes: None,
        }
    }

    pub fn definition_bytes(&self) -> Vec<u8> {
        let mut text = String::from_utf8(self.definition.encode().unwrap()).unwrap();
        if let Some(edit) = &self.edit_definition {
            edit(&mut text);
        }
        text.into_bytes()
    }

    pub fn catalogue(&self) -> Catalogue {
        Catalogue {
            critical: vec![],
            org: ORG.into(),
            version: 4,
            issued_at_ms: T0 - 2 * DAY,
            expires_at_ms: self.catalogue_expires_at_ms,
            definitions: vec![
                CatalogueEntry {
                    id: "dns.flush".into(),
                    version: 1,
                    digest: Digest::of(b"another"),
                },
                CatalogueEntry {
                    id: self.named.clone(),
                    version: 3,
                    digest: self
                        .catalogue_digest
                        .unwrap_or_else(|| Digest::of(&self.definition_bytes())),
                },
            ],
        }
    }

    pub fn root_envelope(&self) -> Envelope {
        sign(&self.root, &[&key("root-1"), &key("root-2")]).unwrap()
    }

    pub fn people_envelope(&self) -> Envelope {
        sign(&self.people, &[&key("admin-1")]).unwrap()
    }

    pub fn catalogue_envelope(&self) -> Envelope {
        let keys: Vec<_> = self.publishers.iter().map(|name| key(name)).collect();
        sign(&self.catalogue(), &keys.iter().collect::<Vec<_>>()).unwrap()
    }

    pub fn order_envelope(&self) -> Envelope {
        let mut order = self.order.clone();
        order.definition.id = self.named.clone();
        order.definition.digest = Digest::of(&self.definition_bytes());
        order.targets = Targets::of(&self.leaves).unwrap();
        sign_edited(&order, &self.edit_order_payload, self.order_key)
    }

    pub fn bundle(&self) -> OrderBundle {
        let order = self.order_envelope();
        let hashes = leaf_hashes(&self.leaves).unwrap();
        let statements = self
            .statements
            .iter()
            .map(|(statement, by)| {
                let mut statement = statement.clone();
                if statement.order_digest == Digest([0; 32]) {
                    statement.order_digest = order.payload_digest();
                }
                sign_edited(&statement, &self.edit_statement_payload, by)
            })
            .collect();
        let mut bundle = OrderBundle {
            order,
            statements,
            definition: self.definition_bytes(),
            leaf: self.leaves[self.index].clone(),
            leaf_index: u32::try_from(self.index).unwrap(),
            proof: merkle::proof(&hashes, self.index).unwrap(),
        };
        if let Some(edit) = &self.edit_bundle {
            edit(&mut bundle);
        }
        bundle
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.bundle().encode().unwrap();
        if let Some(edit) = &self.edit_bytes {
            edit(&mut bytes);
        }
        bytes
    }

    pub fn trust(&self) -> (TrustState, VerifiedCatalogue) {
        let mut trust = TrustState::from_root(&self.root_envelope().to_json()).unwrap();
        if self.hold_people {
            trust
                .restore_people(&self.people_envelope().to_json())
                .unwrap();
        }
        let offered = self.catalogue_envelope().to_json();
        let mut catalogue = trust.restore_catalogue(&offered).unwrap();
        if self.rotate_root {
            let mut next = self.root.clone();
            next.version += 1;
            let next = sign(&next, &[&key("root-2"), &key("root-3")]).unwrap();
            trust.accept_root(&next.to_json()).unwrap();
        }
        if self.offer_catalogue_again {
            catalogue = trust.restore_catalogue(&offered).unwrap();
        }
        (trust, catalogue)
    }

    pub fn run(&self) -> Result<Authorised, Refusal> {
        let (trust, catalogue) = self.trust();
        verify_order(&self.bytes(), &trust, &catalogue, &self.device, self.now_ms)
    }

    pub fn consent_receipt(&self) -> ConsentReceipt {
        ConsentReceipt {
            critical: vec![],
            org: ORG.into(),
            order_digest: self.bundle().order_digest(),
            device_fingerprint: key("device-1").public_key().fingerprint(),
            answer: ConsentAnswer::Granted,
            user: Some("mrojas".into()),
            by: Some(AnsweredBy::Pointer),
            deferred: 1,
            shown: "Limpiar archivos temporales".into(),
            asked_at_ms: T0 + HOUR,
            answered_at_ms: T0 + HOUR + MINUTE,
        }
    }

    pub fn result(&self) -> ActionResult {
        let consent = sign(&self.consent_receipt(), &[&key("device-1")]).unwrap();
        ActionResult {
            critical: vec![],
            org: ORG.into(),
            order_digest: self.bundle().order_digest(),
            device_fingerprint: key("device-1").public_key().fingerprint(),
            attempt: 1,
            outcome: Outcome::Succeeded,
            refusal: None,
            started_at_ms: Some(T0 + HOUR + 2 * MINUTE),
            finished_at_ms: T0 + HOUR + 3 * MINUTE,
            steps: vec![StepResult {
                id: "clean".into(),
                exit_code: Some(0),
                duration_ms: 4200,
                note: String::new(),
            }],
            output: Output::of(b"412 files", false),
            check: Some(CheckResult {
                holds: true,
                facts: vec![CheckFact {
                    name: "bytes_free".into(),
                    before: Some("1000".into()),
                    after: Some("9000".into()),
                    unit: "bytes".into(),
                }],
                explanation: Text::new("8000 bytes más libres", "8000 more bytes free"),
            }),
            consent_digest: Some(consent.payload_digest()),
            undo: None,
            started_boot_id: Some("019e4a00-0000-7000-8000-0000000000b0".into()),
            boot_id: "019e4a00-0000-7000-8000-0000000000b0".into(),
            agent_version: "0.1.0".into(),
            clock_offset_ms: Some(-120),
        }
    }

    pub fn evidence(&self) -> Evidence {
        Evidence {
            roots: vec![],
            people: self.people_envelope(),
            catalogue: self.catalogue_envelope(),
            bundle: self.bundle(),
            device_key: key("device-1").public_key(),
            consent: Some(sign(&self.consent_receipt(), &[&key("device-1")]).unwrap()),
            result: Some(sign(&self.result(), &[&key("device-1")]).unwrap()),
            log: None,
        }
    }
}

/// An approval whose order digest is filled in when the case is signed.
pub fn approval(person: &str, by: &'static str) -> (Statement, &'static str) {
    (
        Statement {
            critical: vec![],
            org: ORG.into(),
            order_digest: Digest([0; 32]),
            person: person.into(),
            decision: Decision::Approve,
            comment: String::new(),
            at_ms: T0 + MINUTE,
            expires_at_ms: T0 + DAY,
        },
        by,
    )
}

pub fn device(i: usize) -> DeviceIdentity {
    DeviceIdentity::of(
        &key(&format!("device-{i}")).public_key(),
        Some(Platform::Linux),
    )
}

/// Signs a paper whose payload may be altered first, beyond what `encode` would allow.
fn sign_edited<T: Document>(document: &T, edit: &Edit<String>, by: &str) -> Envelope {
    let mut payload = String::from_utf8(document.encode().unwrap()).unwrap();
    if let Some(edit) = edit {
        edit(&mut payload);
    }
    let mut envelope = Envelope {
        payload: payload.into_bytes(),
        payload_type: T::PAYLOAD_TYPE.into(),
        signatures: vec![],
    };
    envelope.add_signature(&key(by));
    envelope
}
