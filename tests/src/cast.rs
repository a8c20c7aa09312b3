//! The people of a test organisation and everything they sign, made in the test itself: a suite can sign anything, also
//! what an honest program never would.

use anyhow::{Context, Result};
use chasqui_base::clock::{self, DAY_MS, HOUR_MS};
use chasqui_trust::bundle::OrderBundle;
use chasqui_trust::catalogue::{Catalogue, CatalogueEntry};
use chasqui_trust::definition::Definition;
use chasqui_trust::digest::Digest;
use chasqui_trust::dsse::Envelope;
use chasqui_trust::key::SigningKey;
use chasqui_trust::merkle;
use chasqui_trust::order::{
    DefinitionRef, Leaf, Order, Parameter, ParameterValue, Start, Targets, TicketRef, leaf_hashes,
};
use chasqui_trust::people::{Custody, Duty, People, Person, PersonKey};
use chasqui_trust::root::{Coordinator, Role, Root, Threshold};
use chasqui_trust::statement::{Decision, Statement};
use chasqui_trust::{Document, sign};

/// The organisation of every test.
pub const ORG: &str = "prueba";

/// A person with a key file.
#[derive(Debug)]
pub struct Actor {
    /// The account's id, used in everything signed.
    pub id: String,
    /// Log-in name.
    pub login: String,
    /// The key the people document lists first.
    pub key: SigningKey,
}

/// Everybody who signs.
#[derive(Debug)]
pub struct Cast {
    /// The one root key.
    pub root_key: SigningKey,
    /// The trust administrator's key.
    pub admin_key: SigningKey,
    /// The catalogue publisher's key.
    pub publisher_key: SigningKey,
    /// The second publisher's, without whom nothing of risk 3 counts.
    pub second_publisher_key: SigningKey,
    /// Requests orders.
    pub technician: Actor,
    /// Approves.
    pub lead: Actor,
    /// Approves.
    pub coordinator: Actor,
    /// The root in force.
    pub root: Root,
    /// The people document in force.
    pub people: People,
    /// The catalogue in force.
    pub catalogue: Catalogue,
    /// Its definitions.
    pub definitions: Vec<Definition>,
}

fn actor(id: &str, login: &str, seed: u8) -> Actor {
    Actor {
        id: id.to_owned(),
        login: login.to_owned(),
        key: SigningKey::generate([seed; 32]),
    }
}

/// The same key once more: keys are not cloned outside tests.
pub fn copy_of(key: &SigningKey) -> SigningKey {
    #[allow(clippy::expect_used)]
    key.to_pkcs8_der()
        .and_then(|der| SigningKey::from_pkcs8_der(&der))
        .expect("a key reads what it wrote")
}

/// A listed key with everything allowed.
pub fn person_key(key: &SigningKey, now_ms: i64) -> PersonKey {
    PersonKey {
        key: key.public_key(),
        custody: Custody::File,
        max_risk: 4,
        not_before_ms: now_ms - DAY_MS,
        not_after_ms: now_ms + 20 * DAY_MS,
    }
}

impl Cast {
    /// A root with one key, three people, and a catalogue of these definitions. Risk 1 and less needs no approval, the
    /// rest one, up to 100 machines.
    ///
    /// # Errors
    /// When a definition cannot be encoded.
    pub fn new(
        ids: [&str; 3],
        agents_url: &str,
        people_url: &str,
        ca_sha256: Digest,
        definitions: Vec<Definition>,
    ) -> Result<Self> {
        let now_ms = clock::now_ms();
        let [technician, lead, coordinator] = ids;
        let root_key = SigningKey::generate([1; 32]);
        let admin_key = SigningKey::generate([2; 32]);
        let publisher_key = SigningKey::generate([3; 32]);
        let second_publisher_key = SigningKey::generate([30; 32]);
        let role = |key: &SigningKey| Role {
            key_ids: vec![key.key_id()],
            threshold: 1,
        };
        let root = Root {
            critical: Vec::new(),
            org: ORG.to_owned(),
            version: 1,
            issued_at_ms: now_ms - HOUR_MS,
            expires_at_ms: now_ms + 365 * DAY_MS,
            keys: [&root_key, &admin_key, &publisher_key, &second_publisher_key]
                .iter()
                .map(|key| key.public_key())
                .collect(),
            root: role(&root_key),
            trust_admins: role(&admin_key),
            publishers: Role {
                key_ids: vec![publisher_key.key_id(), second_publisher_key.key_id()],
                threshold: 1,
            },
            release: None,
            coordinators: vec![Coordinator {
                name: "prueba".to_owned(),
                agents_url: agents_url.to_owned(),
                people_url: people_url.to_owned(),
                ca_sha256: vec![ca_sha256],
            }],
            thresholds: vec![
                Threshold {
                    max_risk: 1,
                    max_targets: 10,
                    approvals: 0,
                },
                Threshold {
                    max_risk: 2,
                    max_targets: 100,
                    approvals: 1,
                },
                Threshold {
                    max_risk: 4,
                    max_targets: 100,
                    approvals: 2,
                },
            ],
            break_glass: Some(Threshold {
                max_risk: 3,
                max_targets: 10,
                approvals: 1,
            }),
        };
        let technician = actor(technician, "tecnico", 10);
        let lead = actor(lead, "lider", 11);
        let coordinator = actor(coordinator, "coordinadora", 12);
        let person = |actor: &Actor, duties: &[Duty]| Person {
            id: actor.id.clone(),
            name: actor.login.clone(),
            keys: vec![person_key(&actor.key, now_ms)],
            duties: duties.to_vec(),
        };
        let people = People {
            critical: Vec::new(),
            org: ORG.to_owned(),
            version: 1,
            issued_at_ms: now_ms - HOUR_MS,
            expires_at_ms: now_ms + 20 * DAY_MS,
            persons: vec![
                person(&technician, &[Duty::Request]),
                person(&lead, &[Duty::Request, Duty::Approve]),
                person(&coordinator, &[Duty::Approve]),
            ],
        };
        let entries = definitions
            .iter()
            .map(|definition| {
                Ok(CatalogueEntry {
                    id: definition.id.clone(),
                    version: definition.version,
                    digest: Digest::of(&definition.encode()?),
                })
            })
            .collect::<Result<Vec<_>>>()?;
        let catalogue = Catalogue {
            critical: Vec::new(),
            org: ORG.to_owned(),
            version: 1,
            issued_at_ms: now_ms - HOUR_MS,
            expires_at_ms: now_ms + 20 * DAY_MS,
            definitions: entries,
        };
        Ok(Self {
            root_key,
            admin_key,
            publisher_key,
            second_publisher_key,
            technician,
            lead,
            coordinator,
            root,
            people,
            catalogue,
            definitions,
        })
    }

    /// The signed root.
    ///
    /// # Errors
    /// When it breaks a rule of its form.
    pub fn root_envelope(&self) -> Result<Vec<u8>> {
        Ok(sign(&self.root, &[&self.root_key])?.to_json())
    }

    /// The signed people document.
    ///
    /// # Errors
    /// When it breaks a rule of its form.
    pub fn people_envelope(&self) -> Result<Vec<u8>> {
        Ok(sign(&self.people, &[&self.admin_key])?.to_json())
    }

    /// The signed catalogue.
    ///
    /// # Errors
    /// When it breaks a rule of its form.
    pub fn catalogue_envelope(&self) -> Result<Vec<u8>> {
        let keys = [&self.publisher_key, &self.second_publisher_key];
        Ok(sign(&self.catalogue, &keys)?.to_json())
    }

    /// The definition of this id.
    ///
    /// # Errors
    /// When the catalogue has none.
    pub fn definition(&self, id: &str) -> Result<&Definition> {
        self.definitions
            .iter()
            .find(|definition| definition.id == id)
            .with_context(|| format!("no definition {id}"))
    }

    /// An order as an honest technician would write it, valid for an hour.
    ///
    /// # Errors
    /// When there is no such definition.
    pub fn order(
        &self,
        definition_id: &str,
        parameters: &[(&str, i64)],
        ticket: (&str, &str),
        leaves: &[Leaf],
    ) -> Result<Order> {
        let now_ms = clock::now_ms();
        let definition = self.definition(definition_id)?;
        Ok(Order {
            critical: Vec::new(),
            org: ORG.to_owned(),
            id: clock::new_id().to_string(),
            definition: DefinitionRef {
                id: definition.id.clone(),
                version: definition.version,
                digest: Digest::of(&definition.encode()?),
            },
            parameters: parameters
                .iter()
                .map(|(name, value)| Parameter {
                    name: (*name).to_owned(),
                    value: ParameterValue::Integer(*value),
                })
                .collect(),
            ticket: TicketRef {
                id: ticket.0.to_owned(),
                number: ticket.1.to_owned(),
            },
            reason: "disco lleno".to_owned(),
            requester: self.technician.id.clone(),
            created_at_ms: now_ms,
            not_before_ms: now_ms - 1,
            not_after_ms: now_ms + HOUR_MS,
            min_people_version: self.people.version,
            min_catalogue_version: self.catalogue.version,
            consent: definition.consent,
            start: Start::Now,
            break_glass: false,
            targets: Targets::of(leaves)?,
        })
    }

    /// A statement about an order, valid for an hour.
    pub fn statement(&self, order: &Envelope, person: &str, decision: Decision) -> Statement {
        let now_ms = clock::now_ms();
        Statement {
            critical: Vec::new(),
            org: ORG.to_owned(),
            order_digest: order.payload_digest(),
            person: person.to_owned(),
            decision,
            comment: String::new(),
            at_ms: now_ms,
            expires_at_ms: now_ms + HOUR_MS,
        }
    }

    /// What a coordinator delivers to the machine of `leaves[index]`.
    ///
    /// # Errors
    /// When a part breaks a rule of its form.
    pub fn bundle(
        &self,
        order: Envelope,
        statements: Vec<Envelope>,
        definition: &Definition,
        leaves: &[Leaf],
        index: usize,
    ) -> Result<OrderBundle> {
        let hashes = leaf_hashes(leaves)?;
        Ok(OrderBundle {
            order,
            statements,
            definition: definition.encode()?,
            leaf: leaves.get(index).context("no such leaf")?.clone(),
            leaf_index: u32::try_from(index)?,
            proof: merkle::proof(&hashes, index).context("no such leaf")?,
        })
    }
}
