//! What people sign: an action of which each kind of member is said, and an order of it before it is signed.

use chasqui_base::clock::{self, HOUR_MS};
use chasqui_trust::definition::{
    CharClass, Definition, Limits, Lock, ParameterKind, ParameterSpec, Precondition, Step, Undo,
};
use chasqui_trust::order::{DefinitionRef, Parameter, ParameterValue, Start, Targets, TicketRef};
use chasqui_trust::{
    Decision, Digest, Document, Envelope, Leaf, Order, OrderBundle, SigningKey, Statement, Text,
    merkle, sign,
};

use crate::stage::Stage;
use crate::support::{ORG, marking, program};

/// An action of risk 2 that leaves a mark, and says something in every kind of member a definition has.
pub fn rich(marker: &std::path::Path) -> Definition {
    let text = |words: &str| Text::same(words);
    let parameter = |name: &str, kind| ParameterSpec {
        name: name.into(),
        title: text("Dato"),
        kind,
    };
    Definition {
        plan: text("Hará algo con {name}"),
        risk: 2,
        approvals: 1,
        parameters: vec![
            parameter("times", ParameterKind::Integer { min: 1, max: 9 }),
            parameter(
                "name",
                ParameterKind::Text {
                    max_length: 40,
                    class: CharClass::Identifier,
                    leading_dash: false,
                },
            ),
            parameter(
                "hosts",
                ParameterKind::List {
                    max_items: 4,
                    max_length: 40,
                    class: CharClass::Host,
                },
            ),
            parameter(
                "kind",
                ParameterKind::Choice {
                    options: vec!["one".into(), "two".into()],
                },
            ),
        ],
        preconditions: vec![Precondition::FreeDisk {
            path: "/usr".into(),
            bytes: 1,
        }],
        locks: vec![Lock {
            resource: "test".into(),
            parameter: Some("times".into()),
        }],
        limits: Limits {
            processes: None,
            ..Limits::default()
        },
        undo: Some(Undo {
            summary: text("Se deja como estaba"),
            steps: vec![Step {
                id: "back".into(),
                title: text("Atrás"),
                run: program("/usr/bin/true", &[]),
            }],
            when_check_fails: true,
            when_unreachable_ms: None,
        }),
        ..marking("test.mark", marker)
    }
}

/// An order before it is signed.
pub struct Draft<'a> {
    stage: &'a Stage,
    pub order: Order,
    /// Another machine's first, then this machine's.
    pub leaves: Vec<Leaf>,
    pub definition: Definition,
    pub requester: &'a SigningKey,
    pub approver: &'a SigningKey,
    /// The approver's id.
    pub person: &'static str,
}

impl<'a> Draft<'a> {
    pub fn new(stage: &'a Stage) -> Self {
        Self::of(stage, &stage.definition)
    }

    pub fn of(stage: &'a Stage, definition: &Definition) -> Self {
        let now = stage.now_ms();
        let leaf = |device_fingerprint, host: &str| Leaf {
            device_fingerprint,
            host_name: host.into(),
            plate: Some("P-1234".into()),
            not_before_ms: now - 1000,
        };
        let leaves = vec![
            leaf(stage.stolen.fresh.public_key().fingerprint(), "pc-2"),
            leaf(stage.device.fingerprint(), "pc-1"),
        ];
        let value = |name: &str, value| Parameter {
            name: name.into(),
            value,
        };
        let order = Order {
            critical: vec![],
            org: ORG.into(),
            id: clock::new_id().to_string(),
            definition: DefinitionRef {
                id: definition.id.clone(),
                version: definition.version,
                digest: definition.digest().unwrap(),
            },
            parameters: vec![
                value("times", ParameterValue::Integer(3)),
                value("name", ParameterValue::Text("spooler".into())),
                value(
                    "hosts",
                    ParameterValue::List(vec!["uno.example".into(), "dos.example".into()]),
                ),
                value("kind", ParameterValue::Text("one".into())),
            ],
            ticket: TicketRef {
                id: clock::new_id().to_string(),
                number: "MA-2026-000001".into(),
            },
            reason: "prueba".into(),
            requester: "ana".into(),
            created_at_ms: now - 1000,
            not_before_ms: now - 1000,
            not_after_ms: now + HOUR_MS,
            min_people_version: 1,
            min_catalogue_version: 1,
            consent: definition.consent,
            start: Start::Now,
            break_glass: false,
            targets: Targets::of(&leaves).unwrap(),
        };
        Self {
            stage,
            order,
            leaves,
            definition: definition.clone(),
            requester: &stage.organisation().requester_key,
            approver: &stage.organisation().approver_key,
            person: "beto",
        }
    }

    /// The leaves, after a change of them.
    pub fn aim(&mut self) {
        self.order.targets = Targets::of(&self.leaves).unwrap();
    }

    pub fn signed(&self) -> Envelope {
        sign(&self.order, &[self.requester]).unwrap()
    }

    pub fn statement(&self, order: &Envelope) -> Statement {
        let now = self.stage.now_ms();
        Statement {
            critical: vec![],
            org: ORG.into(),
            order_digest: order.payload_digest(),
            person: self.person.into(),
            decision: Decision::Approve,
            comment: "de acuerdo".into(),
            at_ms: now - 500,
            expires_at_ms: now + HOUR_MS,
        }
    }

    pub fn proof(&self, index: usize) -> Vec<Digest> {
        let hashes: Vec<Digest> = self
            .leaves
            .iter()
            .map(|leaf| leaf.hash().unwrap())
            .collect();
        merkle::proof(&hashes, index).unwrap()
    }

    pub fn bundle_of(&self, order: Envelope, statements: Vec<Envelope>) -> OrderBundle {
        OrderBundle {
            order,
            statements,
            definition: self.definition.encode().unwrap(),
            leaf: self.leaves[1].clone(),
            leaf_index: 1,
            proof: self.proof(1),
        }
    }

    pub fn approval(&self, order: &Envelope) -> Envelope {
        sign(&self.statement(order), &[self.approver]).unwrap()
    }

    /// In order: signed, approved, for this machine.
    pub fn bundle(&self) -> OrderBundle {
        let order = self.signed();
        let approval = self.approval(&order);
        self.bundle_of(order, vec![approval])
    }
}
