//! Orders that must not run, against a real agent. The coordinator refuses each where it can see it; then it is taken for
//! broken in: the order is written into its database as if everything were in order, and the machine itself has to refuse
//! it. Each row bends one thing in a case that runs when it is not bent.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use chasqui_base::clock;
use chasqui_proto::v1::{OrderState, Ticket, TrustDocumentKind};
use chasqui_tests::cast::{copy_of, person_key};
use chasqui_tests::fleet::shipped_definitions;
use chasqui_tests::orders::{code, signed};
use chasqui_tests::{Agent, Client, Options, Simulated, TestFleet};
use chasqui_trust::definition::Consent;
use chasqui_trust::dsse::Envelope;
use chasqui_trust::order::{Leaf, Order, ParameterValue};
use chasqui_trust::people::{Custody, PersonKey};
use chasqui_trust::result::Outcome;
use chasqui_trust::statement::{Decision, Statement};
use chasqui_trust::{Digest, Document, SigningKey};
use rusqlite::params;

const ACTION: &str = "disk.clean.temp";
/// The same action, published as one that needs two approvals.
const STRICT: &str = "disk.clean.temp.strict";
const LEAD: &str = "lider";

/// Everything signed for one order, before it is signed.
struct Case {
    order: Order,
    /// What is signed and delivered to the agent as its leaf.
    leaf: Leaf,
    /// What the order's tree was made of, when it is another one.
    tree: Vec<Leaf>,
    order_key: SigningKey,
    statements: Vec<(Statement, SigningKey)>,
    /// Done to the payload before it is signed.
    edit: Option<fn(&mut String)>,
    /// Done to the envelope after it was signed.
    tamper: Option<fn(&mut Envelope)>,
    /// Done to the statements after they were signed.
    tamper_statement: Option<fn(&mut Envelope)>,
    /// The definition delivered, when it is another one than the one signed.
    definition: Option<Digest>,
}

/// What every case is made of.
struct World {
    agent: Agent,
    fleet: TestFleet,
    other: Simulated,
    ticket: Ticket,
    stranger: SigningKey,
    technician_browser: SigningKey,
    lead_second: SigningKey,
    lead_browser: SigningKey,
}

/// Where the coordinator refuses first.
enum Early {
    /// When the order is handed in.
    Order(&'static str),
    /// When the last statement is handed in.
    Statement(&'static str),
    /// It takes the order and waits for more approvals.
    Waits,
    /// It is handed in for another machine, or altered later: nothing to refuse.
    Blind,
}

struct Row {
    what: &'static str,
    /// The same case without the defect.
    base: fn(&World) -> Case,
    bend: fn(&World, &mut Case),
    early: Early,
    rule: &'static str,
}

fn table() -> Vec<Row> {
    let row = |what, bend: fn(&World, &mut Case), early, rule| Row {
        what,
        base: plain,
        bend,
        early,
        rule,
    };
    let with = |base: fn(&World) -> Case, row: Row| Row { base, ..row };
    vec![
        row(
            "forged: signed by a key nobody listed",
            |world, case| case.order_key = copy_of(&world.stranger),
            Early::Order("ORDER_KEY_UNKNOWN"),
            "ORDER_KEY_UNKNOWN",
        ),
        row(
            "forged: the technician's key is named and did not sign",
            |_, case| case.tamper = Some(|envelope| envelope.signatures[0].signature[7] ^= 1),
            Early::Order("ORDER_SIGNATURE_INVALID"),
            "ORDER_SIGNATURE_INVALID",
        ),
        row(
            "a parameter changed after signing",
            |_, case| {
                case.tamper = Some(|envelope| {
                    let payload = String::from_utf8(envelope.payload.clone()).unwrap();
                    assert!(payload.contains("{\"integer\":30}"), "{payload}");
                    envelope.payload = payload
                        .replace("{\"integer\":30}", "{\"integer\":1}")
                        .into_bytes();
                });
            },
            Early::Order("ORDER_SIGNATURE_INVALID"),
            "ORDER_SIGNATURE_INVALID",
        ),
        row(
            "for another machine",
            |world, case| {
                case.leaf.device_fingerprint = world.other.key.public_key().fingerprint();
                case.leaf.host_name = world.other.host_name.clone();
                case.tree = vec![case.leaf.clone()];
            },
            Early::Blind,
            "ORDER_OTHER_DEVICE",
        ),
        row(
            "for another machine, delivered with this machine's leaf",
            |world, case| {
                let mut theirs = case.leaf.clone();
                theirs.device_fingerprint = world.other.key.public_key().fingerprint();
                theirs.host_name = world.other.host_name.clone();
                case.tree = vec![theirs];
            },
            Early::Order("ORDER_TARGETS_MISMATCH"),
            "ORDER_LEAF_PROOF_INVALID",
        ),
        row(
            "one signature too few",
            |_, case| case.statements.clear(),
            Early::Waits,
            "APPROVALS_MISSING",
        ),
        with(
            strict,
            row(
                "two keys of one person",
                |world, case| {
                    case.statements[1].0.person = world.fleet.lead.id.clone();
                    case.statements[1].1 = copy_of(&world.lead_second);
                },
                Early::Statement("APPROVAL_SAME_PERSON"),
                "APPROVAL_SAME_PERSON",
            ),
        ),
        with(
            of_the_lead,
            row(
                "the requester approves",
                |world, case| {
                    case.statements[0].0.person = world.fleet.lead.id.clone();
                    case.statements[0].1 = copy_of(&world.fleet.cast.lead.key);
                },
                Early::Statement("APPROVAL_OWN_ORDER"),
                "APPROVAL_OWN_ORDER",
            ),
        ),
        row(
            "risk 2 requested with a browser's key",
            |world, case| case.order_key = copy_of(&world.technician_browser),
            Early::Order("ORDER_BROWSER_KEY"),
            "ORDER_BROWSER_KEY",
        ),
        row(
            "risk 2 approved with a browser's key",
            |world, case| case.statements[0].1 = copy_of(&world.lead_browser),
            Early::Statement("APPROVAL_BROWSER_KEY"),
            "APPROVAL_BROWSER_KEY",
        ),
        row(
            "expired",
            |_, case| {
                case.order.not_before_ms -= 2 * clock::HOUR_MS;
                case.order.created_at_ms = case.order.not_before_ms;
                case.order.not_after_ms = clock::now_ms() - clock::MINUTE_MS;
                case.leaf.not_before_ms = case.order.not_before_ms;
                case.tree = vec![case.leaf.clone()];
            },
            Early::Order("ORDER_EXPIRED"),
            "ORDER_EXPIRED",
        ),
        row(
            "signed under a newer people document",
            |_, case| case.order.min_people_version += 1,
            Early::Order("PEOPLE_TOO_OLD"),
            "PEOPLE_TOO_OLD",
        ),
        row(
            "signed under a newer catalogue",
            |_, case| case.order.min_catalogue_version += 1,
            Early::Order("CATALOGUE_TOO_OLD"),
            "CATALOGUE_TOO_OLD",
        ),
        row(
            "needs what this program does not know",
            |_, case| {
                case.edit = Some(|payload| {
                    *payload = payload.replacen("\"critical\":[]", "\"critical\":[\"locks\"]", 1);
                });
            },
            Early::Order("UNKNOWN_CRITICAL"),
            "UNKNOWN_CRITICAL",
        ),
        row(
            "another definition than the one signed",
            |world, case| {
                let strict = world.fleet.cast.definition(STRICT).unwrap();
                case.definition = Some(Digest::of(&strict.encode().unwrap()));
            },
            Early::Blind,
            "DEFINITION_DIGEST",
        ),
        row(
            "a parameter outside its grammar",
            |_, case| case.order.parameters[0].value = ParameterValue::Integer(0),
            Early::Order("PARAMETER_INVALID"),
            "PARAMETER_INVALID",
        ),
        row(
            "less consent than the definition asks for",
            |_, case| case.order.consent = Consent::None,
            Early::Order("CONSENT_TOO_WEAK"),
            "CONSENT_TOO_WEAK",
        ),
        row(
            "an approval that was not signed",
            |_, case| {
                case.tamper_statement = Some(|envelope| envelope.signatures[0].signature[7] ^= 1);
            },
            Early::Statement("STATEMENT_SIGNATURE_INVALID"),
            "STATEMENT_SIGNATURE_INVALID",
        ),
        row(
            "an approval that has lapsed",
            |_, case| {
                case.statements[0].0.at_ms -= 2 * clock::HOUR_MS;
                case.statements[0].0.expires_at_ms = clock::now_ms() - clock::MINUTE_MS;
            },
            Early::Statement("APPROVAL_EXPIRED"),
            "APPROVAL_EXPIRED",
        ),
    ]
}

/// Requested by the technician, approved by the lead.
fn plain(world: &World) -> Case {
    case(world, ACTION, &[LEAD])
}

/// Two approvals.
fn strict(world: &World) -> Case {
    case(world, STRICT, &[LEAD, "coordinadora"])
}

/// Requested by the lead, approved by the coordinator.
fn of_the_lead(world: &World) -> Case {
    let mut case = case(world, ACTION, &["coordinadora"]);
    case.order.requester = world.fleet.lead.id.clone();
    case.order_key = copy_of(&world.fleet.cast.lead.key);
    case
}

fn case(world: &World, definition: &str, approvers: &[&str]) -> Case {
    let cast = &world.fleet.cast;
    let leaf = Leaf {
        not_before_ms: clock::now_ms() - 1,
        ..world.leaf()
    };
    let ticket = (world.ticket.id.as_str(), world.ticket.number.as_str());
    let order = cast
        .order(
            definition,
            &[("older_than_days", 30)],
            ticket,
            std::slice::from_ref(&leaf),
        )
        .unwrap();
    let actors = [&cast.lead, &cast.coordinator];
    let statements = approvers
        .iter()
        .map(|login| {
            let actor = actors.iter().find(|actor| actor.login == *login).unwrap();
            let now_ms = clock::now_ms();
            let statement = Statement {
                critical: Vec::new(),
                org: order.org.clone(),
                // Filled in when the order is signed.
                order_digest: Digest::of(b""),
                person: actor.id.clone(),
                decision: Decision::Approve,
                comment: String::new(),
                at_ms: now_ms,
                expires_at_ms: now_ms + clock::HOUR_MS,
            };
            (statement, copy_of(&actor.key))
        })
        .collect();
    Case {
        order,
        tree: vec![leaf.clone()],
        leaf,
        order_key: copy_of(&cast.technician.key),
        statements,
        edit: None,
        tamper: None,
        tamper_statement: None,
        definition: None,
    }
}

/// A case with every signature.
struct Papers {
    id: String,
    /// SHA-256 of what was signed.
    digest: Digest,
    envelope: Envelope,
    statements: Vec<Envelope>,
    definition_id: String,
    definition_version: u32,
    definition: Digest,
    requester: String,
    ticket_id: String,
    leaf: Leaf,
}

impl Case {
    fn sign(mut self) -> Papers {
        self.order.targets = chasqui_trust::order::Targets::of(&self.tree).unwrap();
        let mut payload = String::from_utf8(self.order.encode().unwrap()).unwrap();
        if let Some(edit) = self.edit {
            edit(&mut payload);
        }
        let mut envelope = Envelope {
            payload: payload.into_bytes(),
            payload_type: Order::PAYLOAD_TYPE.to_owned(),
            signatures: Vec::new(),
        };
        envelope.add_signature(&self.order_key);
        let digest = envelope.payload_digest();
        let mut statements: Vec<_> = self
            .statements
            .into_iter()
            .map(|(mut statement, key)| {
                statement.order_digest = digest;
                signed(&statement, &key).unwrap()
            })
            .collect();
        if let Some(tamper) = self.tamper {
            tamper(&mut envelope);
        }
        if let Some(tamper) = self.tamper_statement {
            statements.iter_mut().for_each(tamper);
        }
        Papers {
            id: self.order.id,
            digest,
            envelope,
            statements,
            definition: self.definition.unwrap_or(self.order.definition.digest),
            definition_id: self.order.definition.id,
            definition_version: self.order.definition.version,
            requester: self.order.requester,
            ticket_id: self.order.ticket.id,
            leaf: self.leaf,
        }
    }
}

impl World {
    async fn new() -> Self {
        let mut definitions = shipped_definitions().unwrap();
        let mut strict = definitions
            .iter()
            .find(|definition| definition.id == ACTION)
            .unwrap()
            .clone();
        strict.id = STRICT.to_owned();
        strict.approvals = 2;
        definitions.push(strict);
        let mut fleet = TestFleet::start_with(Options {
            definitions,
            server_env: vec![("CHASQUI_SERVER_DEVICES_SWEEP_SECONDS".into(), "1".into())],
            ..Options::default()
        })
        .await
        .unwrap();
        let extra = |seed: u8| SigningKey::generate([seed; 32]);
        let browser = |key: &SigningKey| PersonKey {
            custody: Custody::Browser,
            max_risk: 1,
            ..person_key(key, clock::now_ms())
        };
        let (technician_browser, lead_second, lead_browser) = (extra(20), extra(21), extra(22));
        let persons = &mut fleet.cast.people.persons;
        persons[0].keys.push(browser(&technician_browser));
        persons[1]
            .keys
            .push(person_key(&lead_second, clock::now_ms()));
        persons[1].keys.push(browser(&lead_browser));
        fleet.cast.people.version = 2;
        fleet
            .publish(
                TrustDocumentKind::People,
                fleet.cast.people_envelope().unwrap(),
            )
            .await
            .unwrap();
        let agent = Agent::start(&fleet, "equipo").await.unwrap();
        let token = fleet.token(1).await.unwrap();
        let other = Simulated::enrol(&fleet, &token, "otro").await.unwrap();
        let ticket = fleet.ticket(&agent.device_id).await.unwrap();
        Self {
            agent,
            other,
            ticket,
            stranger: extra(23),
            technician_browser,
            lead_second,
            lead_browser,
            fleet,
        }
    }

    fn leaf(&self) -> Leaf {
        // Both were read from the coordinator once; they do not change.
        let database = self.fleet.server.behind().unwrap();
        let (fingerprint, host_name): (String, String) = database
            .query_row(
                "SELECT fingerprint, host_name FROM devices WHERE id = ?1",
                [&self.agent.device_id],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .unwrap();
        Leaf {
            device_fingerprint: fingerprint.parse().unwrap(),
            host_name,
            plate: None,
            not_before_ms: 0,
        }
    }

    fn client(&self, person: &str) -> &Client {
        [
            &self.fleet.technician,
            &self.fleet.lead,
            &self.fleet.coordinator,
        ]
        .into_iter()
        .find(|client| client.id == person)
        .unwrap()
    }

    /// The honest way: what the coordinator says to the order and to its last statement.
    async fn hand_in(&self, papers: &Papers) -> Result<OrderState, (bool, String)> {
        let leaves = std::slice::from_ref(&papers.leaf);
        let client = self.client(&papers.requester);
        let order = self
            .fleet
            .submit(client, &papers.envelope, leaves)
            .await
            .map_err(|status| (true, code(&status)))?;
        let mut state = order.state();
        for envelope in &papers.statements {
            let person = Statement::decode(envelope).unwrap().person;
            let said = self
                .fleet
                .say(self.client(&person), &papers.id, envelope)
                .await;
            state = said.map_err(|status| (false, code(&status)))?.state();
        }
        Ok(state)
    }

    /// The way of somebody who broke in: the order stands in the database as if all were in order.
    fn plant(&self, papers: &Papers) {
        let mut database = self.fleet.server.behind().unwrap();
        let tx = database.transaction().unwrap();
        let now_ms = clock::now_ms();
        let gone = [
            "order_statements",
            "results",
            "order_output",
            "order_targets",
        ];
        for table in gone {
            let text = format!("DELETE FROM {table} WHERE order_id = ?1");
            tx.execute(&text, [&papers.id]).unwrap();
        }
        tx.execute("DELETE FROM orders WHERE id = ?1", [&papers.id])
            .unwrap();
        tx.execute(
            "INSERT INTO orders (id, digest, envelope, definition_id, definition_version, definition_digest, risk, \
             ticket_id, requester_id, state, required_approvals, target_count, not_before_ms, not_after_ms, \
             created_at_ms, updated_at_ms) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, 2, ?7, ?8, 'queued', 0, 1, ?9, ?10, ?9, ?9)",
            params![
                papers.id,
                papers.digest.to_hex(),
                papers.envelope.to_json(),
                papers.definition_id,
                papers.definition_version,
                papers.definition.to_hex(),
                papers.ticket_id,
                papers.requester,
                now_ms - clock::MINUTE_MS,
                now_ms + clock::HOUR_MS,
            ],
        )
        .unwrap();
        tx.execute(
            "INSERT INTO order_targets (device_id, order_id, leaf_index, leaf, state, updated_at_ms) \
             VALUES (?1, ?2, 0, ?3, 'queued', ?4)",
            params![
                self.agent.device_id,
                papers.id,
                papers.leaf.encode().unwrap(),
                now_ms
            ],
        )
        .unwrap();
        for (number, envelope) in papers.statements.iter().enumerate() {
            tx.execute(
                "INSERT INTO order_statements (id, order_id, person_id, key_id, decision, digest, envelope, at_ms) \
                 VALUES (?1, ?2, ?3, '', 'approve', ?4, ?5, ?6)",
                params![
                    clock::new_id().to_string(),
                    papers.id,
                    // The table allows one approval a person; whoever is inside writes what they like.
                    format!("person-{number}"),
                    format!("{}-{number}", papers.id),
                    envelope.to_json(),
                    now_ms,
                ],
            )
            .unwrap();
        }
        tx.commit().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_people_did_not_sign_for_this_machine_does_not_run() {
    let world = World::new().await;
    let marker = world.agent.old_file("marca", 1_000, 40).unwrap();
    let mut planted = Vec::new();
    for row in table() {
        let mut case = (row.base)(&world);
        (row.bend)(&world, &mut case);
        let papers = case.sign();
        match row.early {
            Early::Order(code) => {
                let refused = world.hand_in(&papers).await.expect_err(row.what);
                assert_eq!(refused, (true, code.to_owned()), "{}", row.what);
            }
            Early::Statement(code) => {
                let refused = world.hand_in(&papers).await.expect_err(row.what);
                assert_eq!(refused, (false, code.to_owned()), "{}", row.what);
            }
            Early::Waits => {
                let state = world.hand_in(&papers).await.expect(row.what);
                assert_eq!(state, OrderState::AwaitingApproval, "{}", row.what);
            }
            Early::Blind => {}
        }
        world.plant(&papers);
        planted.push((row, papers));
    }
    for (row, papers) in &planted {
        let (target, result) = world.fleet.result(&papers.id).await.expect(row.what);
        assert_eq!(result.outcome, Outcome::Refused, "{}", row.what);
        let note = result.refusal.unwrap();
        assert_eq!(note.rule, row.rule, "{}", row.what);
        assert_eq!(target.refusal_code, row.rule, "{}", row.what);
        assert!(
            !note.detail.es.is_empty() && !note.detail.en.is_empty(),
            "{}",
            row.what
        );
        assert!(
            result.started_at_ms.is_none() && result.steps.is_empty(),
            "{}",
            row.what
        );
    }
    assert!(marker.exists(), "a refused order ran");

    // The same cases without their defect, brought in the same way.
    for (row, _) in &planted {
        let marker = world.agent.old_file("marca", 1_000, 40).unwrap();
        let papers = (row.base)(&world).sign();
        world.plant(&papers);
        let (_, result) = world.fleet.result(&papers.id).await.expect(row.what);
        assert_eq!(
            (result.outcome, &result.refusal),
            (Outcome::Succeeded, &None),
            "without the defect of {:?}",
            row.what
        );
        assert!(!marker.exists(), "{}", row.what);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replayed_order_runs_once() {
    let mut world = World::new().await;
    let first = world.agent.old_file("marca", 1_000, 40).unwrap();
    let papers = plain(&world).sign();
    assert_eq!(world.hand_in(&papers).await, Ok(OrderState::Queued));
    let (target, result) = world.fleet.result(&papers.id).await.unwrap();
    assert_eq!(result.outcome, Outcome::Succeeded);
    assert!(!first.exists());

    // The coordinator does not take it twice.
    let refused = world.hand_in(&papers).await.unwrap_err();
    assert_eq!(refused, (true, "ORDER_EXISTS".to_owned()));

    // One that is broken into forgets the result and delivers it again, to an agent that remembers by its disk alone.
    let second = world.agent.old_file("marca", 1_000, 40).unwrap();
    assert!(world.agent.process().unwrap().stop().unwrap().success());
    world.plant(&papers);
    world.agent.run(&[]).unwrap();
    let (again, _) = world.fleet.result(&papers.id).await.unwrap();
    assert_eq!(
        again.result, target.result,
        "the machine has another result for the same order"
    );
    assert!(second.exists(), "the order ran again");

    // A new order for the same thing is no replay.
    let papers = plain(&world).sign();
    assert_eq!(world.hand_in(&papers).await, Ok(OrderState::Queued));
    let (_, result) = world.fleet.result(&papers.id).await.unwrap();
    assert_eq!(result.outcome, Outcome::Succeeded);
    assert!(!second.exists());
}
