//! The one judgement of an order, used by agent, command line and auditor alike. It is a pure function of the bytes, the
//! trust held, the machine and the time; what it yields can be made nowhere else.

use crate::bundle::OrderBundle;
use crate::canonical::{Document, FormatError};
use crate::definition::{Definition, Platform};
use crate::digest::Digest;
use crate::dsse::Envelope;
use crate::key::PublicKey;
use crate::merkle;
use crate::order::{Leaf, Order, Parameter, ParameterValue, Targets};
use crate::people::{Custody, Duty, People, PersonKey};
use crate::refusal::Refusal;
use crate::state::{TrustState, VerifiedCatalogue, effective_now};
use crate::statement::{Decision, Statement};

/// From this risk on no browser's key counts.
const NO_BROWSER_FROM_RISK: u8 = 2;

/// From this risk on a definition counts only in a catalogue that two publishers signed.
pub const TWO_PUBLISHERS_FROM_RISK: u8 = 3;

/// The machine that asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceIdentity {
    /// SHA-256 over the 32 raw bytes of its public key.
    pub fingerprint: Digest,
    /// Its system; None where it is not known (an auditor), which skips that check.
    pub platform: Option<Platform>,
}

impl DeviceIdentity {
    /// The machine with this key.
    pub fn of(key: &PublicKey, platform: Option<Platform>) -> Self {
        Self {
            fingerprint: key.fingerprint(),
            platform,
        }
    }
}

/// A person named in an authorisation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedBy {
    /// Id in the people document.
    pub person: String,
    /// Name in the people document.
    pub name: String,
    /// When they say they signed, UTC milliseconds.
    pub at_ms: i64,
}

/// An order this machine may run now. Only [`verify_order`] makes one.
#[derive(Debug)]
pub struct Authorised {
    order: Order,
    digest: Digest,
    definition: Definition,
    leaf: Leaf,
    requester: SignedBy,
    approvers: Vec<SignedBy>,
    required_approvals: u32,
    single_signer: bool,
    judged_at_ms: i64,
}

impl Authorised {
    /// The order.
    pub fn order(&self) -> &Order {
        &self.order
    }

    /// SHA-256 of the order's payload: its name in statements and results, and the key of the journal.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The definition.
    pub fn definition(&self) -> &Definition {
        &self.definition
    }

    /// This machine's leaf.
    pub fn leaf(&self) -> &Leaf {
        &self.leaf
    }

    /// The parameters, each within its grammar.
    pub fn parameters(&self) -> &[Parameter] {
        &self.order.parameters
    }

    /// A parameter.
    pub fn parameter(&self, name: &str) -> Option<&ParameterValue> {
        self.order.parameter(name)
    }

    /// A whole number parameter.
    pub fn integer(&self, name: &str) -> Option<i64> {
        match self.parameter(name) {
            Some(ParameterValue::Integer(n)) => Some(*n),
            _ => None,
        }
    }

    /// A text parameter.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.parameter(name) {
            Some(ParameterValue::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// Who asked.
    pub fn requester(&self) -> &SignedBy {
        &self.requester
    }

    /// Who approved: distinct persons, none of them the requester.
    pub fn approvers(&self) -> &[SignedBy] {
        &self.approvers
    }

    /// How many approvals the root asks for.
    pub fn required_approvals(&self) -> u32 {
        self.required_approvals
    }

    /// True when one key alone can replace the root: to be stamped on results and evidence.
    pub fn single_signer(&self) -> bool {
        self.single_signer
    }

    /// The time it was judged by, UTC milliseconds; from [`verify_order`], after the floor.
    pub fn judged_at_ms(&self) -> i64 {
        self.judged_at_ms
    }
}

/// Judges an order bundle (canonical JSON) for this machine at this time. The first rule broken is the refusal.
pub fn verify_order(
    bytes: &[u8],
    trust: &TrustState,
    catalogue: &VerifiedCatalogue,
    device: &DeviceIdentity,
    now_ms: i64,
) -> Result<Authorised, Refusal> {
    let now = effective_now(now_ms, trust.floor());
    judge_order(bytes, trust, catalogue, device, now)
}

/// The rules of [`verify_order`] at exactly this time, whatever the floor: only for a past judgement. A machine's clock
/// must go through the floor.
pub(crate) fn judge_order(
    bytes: &[u8],
    trust: &TrustState,
    catalogue: &VerifiedCatalogue,
    device: &DeviceIdentity,
    now: i64,
) -> Result<Authorised, Refusal> {
    let bundle = OrderBundle::decode(bytes).map_err(Refusal::BundleMalformed)?;
    let request = judge_request(&bundle.order, &bundle.definition, trust, catalogue, now)?;
    let order = &request.order;
    if device
        .platform
        .is_some_and(|p| !request.definition.runs_on(p))
    {
        return Err(Refusal::PlatformUnsupported);
    }
    if now < order.not_before_ms {
        return Err(Refusal::NotYetValid {
            not_before_ms: order.not_before_ms,
        });
    }
    check_leaf(&bundle, order, device, now)?;
    let approvers = check_statements(&bundle.statements, &request, trust, now)?;
    Ok(Authorised {
        leaf: bundle.leaf,
        approvers,
        single_signer: trust.single_signer(),
        judged_at_ms: now,
        digest: request.digest,
        definition: request.definition,
        requester: request.requester,
        required_approvals: request.required_approvals,
        order: request.order,
    })
}

/// An order that is well signed, before its approvals and apart from any machine. It authorises nothing: a coordinator
/// takes an order in with it, an approver's program shows it. Only [`verify_request`] makes one.
#[derive(Clone, Debug)]
pub struct VerifiedRequest {
    order: Order,
    digest: Digest,
    definition: Definition,
    requester: SignedBy,
    required_approvals: u32,
}

impl VerifiedRequest {
    /// The order.
    pub fn order(&self) -> &Order {
        &self.order
    }

    /// SHA-256 of the order's payload.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The definition.
    pub fn definition(&self) -> &Definition {
        &self.definition
    }

    /// Who asked.
    pub fn requester(&self) -> &SignedBy {
        &self.requester
    }

    /// How many approvals the root asks for.
    pub fn required_approvals(&self) -> u32 {
        self.required_approvals
    }
}

/// Judges an order (envelope JSON) with its definition and all its machines, by the rules of [`verify_order`] short of
/// approvals, the machine and the beginning of validity: for the coordinator that takes it in and for approvers.
pub fn verify_request(
    order: &[u8],
    definition: &[u8],
    leaves: &[Leaf],
    trust: &TrustState,
    catalogue: &VerifiedCatalogue,
    now_ms: i64,
) -> Result<VerifiedRequest, Refusal> {
    let now = effective_now(now_ms, trust.floor());
    let envelope = Envelope::from_json(order).map_err(Refusal::OrderMalformed)?;
    let request = judge_request(&envelope, definition, trust, catalogue, now)?;
    let targets = Targets::of(leaves).map_err(Refusal::OrderMalformed)?;
    if targets != request.order.targets {
        return Err(Refusal::LeafProofInvalid);
    }
    Ok(request)
}

/// Judges the statements on a request: the approvers when they are enough, else why not.
/// [`Refusal::ApprovalsMissing`] means that all of them are good and more are needed.
pub fn verify_approvals(
    request: &VerifiedRequest,
    statements: &[Envelope],
    trust: &TrustState,
    now_ms: i64,
) -> Result<Vec<SignedBy>, Refusal> {
    let now = effective_now(now_ms, trust.floor());
    check_statements(statements, request, trust, now)
}

/// What does not depend on the machine or on approvals.
fn judge_request(
    envelope: &Envelope,
    definition: &[u8],
    trust: &TrustState,
    catalogue: &VerifiedCatalogue,
    now: i64,
) -> Result<VerifiedRequest, Refusal> {
    let order: Order = read(Order::decode(envelope), Refusal::OrderMalformed)?;
    if order.org != trust.org() {
        return Err(Refusal::OrgMismatch {
            expected: trust.org().to_owned(),
            found: order.org,
        });
    }
    let people = fresh_papers(trust, catalogue, &order, now)?;
    let (requester, key) = check_order_signature(envelope, &order, people)?;
    if !key.is_valid_at(now) {
        return Err(Refusal::OrderKeyNotValid);
    }
    let definition = check_definition(definition, &order, catalogue)?;
    let risk = definition.risk;
    check_key_risk(key, risk)?;
    definition
        .check_parameters(&order.parameters)
        .map_err(Refusal::ParameterInvalid)?;
    if order.consent < definition.consent {
        return Err(Refusal::ConsentTooWeak);
    }
    if !order.check_validity_cap() {
        return Err(Refusal::ValidityTooLong);
    }
    if now >= order.not_after_ms {
        return Err(Refusal::Expired {
            not_after_ms: order.not_after_ms,
        });
    }
    let required_approvals = required_approvals(trust, &definition, &order)?;
    Ok(VerifiedRequest {
        digest: envelope.payload_digest(),
        definition,
        requester: SignedBy {
            person: order.requester.clone(),
            name: requester,
            at_ms: order.created_at_ms,
        },
        required_approvals,
        order,
    })
}

/// What the root asks for at this risk and number of machines, or in an emergency, and at least what the definition does.
fn required_approvals(
    trust: &TrustState,
    definition: &Definition,
    order: &Order,
) -> Result<u32, Refusal> {
    let (risk, targets) = (definition.risk, order.targets.count);
    if order.break_glass {
        // Another person must know of it whatever the definition says; nothing more is asked.
        return trust
            .root()
            .break_glass_approvals(risk, targets)
            .map(|approvals| approvals.max(1))
            .ok_or(Refusal::BreakGlassNotAllowed { risk, targets });
    }
    trust
        .root()
        .approvals_for(risk, targets)
        .map(|approvals| approvals.max(definition.approvals))
        .ok_or(Refusal::NoThresholdFits { risk, targets })
}

/// Turns an unknown `critical` name into its own refusal, everything else into the paper's.
fn read<T>(
    result: Result<T, FormatError>,
    otherwise: impl FnOnce(FormatError) -> Refusal,
) -> Result<T, Refusal> {
    result.map_err(|error| match error {
        FormatError::UnknownCritical { what, name } => {
            Refusal::UnknownCritical { paper: what, name }
        }
        other => otherwise(other),
    })
}

/// Root, people document and catalogue: there, of one root, not expired, not older than the order demands.
fn fresh_papers<'a>(
    trust: &'a TrustState,
    catalogue: &VerifiedCatalogue,
    order: &Order,
    now: i64,
) -> Result<&'a People, Refusal> {
    if now >= trust.root().expires_at_ms {
        return Err(Refusal::RootExpired);
    }
    let people = fresh_people(trust, now)?;
    if order.min_people_version > people.version {
        return Err(Refusal::PeopleTooOld {
            held: people.version,
            needed: order.min_people_version,
        });
    }
    if catalogue.root_digest() != trust.root_digest() {
        return Err(Refusal::CatalogueNotTrusted);
    }
    if order.min_catalogue_version > catalogue.version() {
        return Err(Refusal::CatalogueTooOld {
            held: catalogue.version(),
            needed: order.min_catalogue_version,
        });
    }
    if now >= catalogue.catalogue().expires_at_ms {
        return Err(Refusal::CatalogueExpired);
    }
    Ok(people)
}

fn fresh_people(trust: &TrustState, now: i64) -> Result<&People, Refusal> {
    let people = trust.people().ok_or(Refusal::PeopleMissing)?;
    if now < people.expires_at_ms {
        Ok(people)
    } else {
        Err(Refusal::PeopleExpired)
    }
}

/// The requester's name and the key they signed with.
fn check_order_signature<'a>(
    envelope: &Envelope,
    order: &Order,
    people: &'a People,
) -> Result<(String, &'a PersonKey), Refusal> {
    let unknown = || Refusal::OrderKeyUnknown(order.requester.clone());
    let requester = people
        .person(&order.requester)
        .ok_or_else(|| Refusal::RequesterUnknown(order.requester.clone()))?;
    let [signature] = envelope.signatures.as_slice() else {
        return Err(unknown());
    };
    let key = requester.key(&signature.key_id).ok_or_else(unknown)?;
    if !envelope.is_signed_by(&key.key) {
        return Err(Refusal::OrderSignatureInvalid);
    }
    if !requester.may(Duty::Request) {
        return Err(Refusal::RequesterNoDuty(order.requester.clone()));
    }
    Ok((requester.name.clone(), key))
}

fn check_key_risk(key: &PersonKey, risk: u8) -> Result<(), Refusal> {
    if risk >= NO_BROWSER_FROM_RISK && key.custody == Custody::Browser {
        return Err(Refusal::OrderBrowserKey { risk });
    }
    if risk > key.max_risk {
        return Err(Refusal::OrderKeyRisk {
            risk,
            max: key.max_risk,
        });
    }
    Ok(())
}

fn check_definition(
    bytes: &[u8],
    order: &Order,
    catalogue: &VerifiedCatalogue,
) -> Result<Definition, Refusal> {
    let named = &order.definition;
    if Digest::of(bytes) != named.digest {
        return Err(Refusal::DefinitionDigest);
    }
    let published = catalogue
        .catalogue()
        .entry(&named.id, named.version)
        .is_some_and(|entry| entry.digest == named.digest);
    if !published {
        return Err(Refusal::DefinitionNotInCatalogue {
            id: named.id.clone(),
            version: named.version,
        });
    }
    let definition = read(
        Definition::decode_payload(bytes),
        Refusal::DefinitionMalformed,
    )?;
    if definition.id != named.id || definition.version != named.version {
        return Err(Refusal::DefinitionMismatch);
    }
    let have = catalogue.publishers();
    if definition.risk >= TWO_PUBLISHERS_FROM_RISK && have < 2 {
        return Err(Refusal::DefinitionPublishers {
            risk: definition.risk,
        });
    }
    Ok(definition)
}

fn check_leaf(
    bundle: &OrderBundle,
    order: &Order,
    device: &DeviceIdentity,
    now: i64,
) -> Result<(), Refusal> {
    let leaf = &bundle.leaf;
    if leaf.device_fingerprint != device.fingerprint {
        return Err(Refusal::DeviceMismatch);
    }
    let hash = leaf.hash().map_err(Refusal::BundleMalformed)?;
    if !merkle::verify(
        &hash,
        u64::from(bundle.leaf_index),
        u64::from(order.targets.count),
        &bundle.proof,
        &order.targets.merkle_root,
    ) {
        return Err(Refusal::LeafProofInvalid);
    }
    if now < leaf.not_before_ms {
        return Err(Refusal::WaveNotYet {
            not_before_ms: leaf.not_before_ms,
        });
    }
    Ok(())
}

/// Collects approvals of distinct persons. A statement that is forged, damaged or about another order refuses at once,
/// and so does any rejection or withdrawal by a person of the people document. An approval that does not count is passed
/// over while enough others do; when they do not, and it would have made up the number, the refusal says why it does not.
fn check_statements(
    statements: &[Envelope],
    request: &VerifiedRequest,
    trust: &TrustState,
    now: i64,
) -> Result<Vec<SignedBy>, Refusal> {
    let people = fresh_people(trust, now)?;
    let (order, need) = (&request.order, request.required_approvals);
    let risk = request.definition.risk;
    let mut approvers: Vec<SignedBy> = Vec::new();
    let mut passed_over: Vec<Refusal> = Vec::new();
    for envelope in statements {
        let statement: Statement = read(Statement::decode(envelope), Refusal::StatementMalformed)?;
        if statement.org != order.org {
            return Err(Refusal::StatementOrgMismatch);
        }
        if statement.order_digest != request.digest {
            return Err(Refusal::StatementOtherOrder);
        }
        match judge_statement(envelope, &statement, &order.requester, people, risk, now)? {
            Err(why) => passed_over.push(why),
            Ok(_) if approvers.iter().any(|a| a.person == statement.person) => {
                passed_over.push(Refusal::ApprovalSamePerson(statement.person));
            }
            Ok(name) => approvers.push(SignedBy {
                person: statement.person,
                name,
                at_ms: statement.at_ms,
            }),
        }
    }
    let have = u32::try_from(approvers.len()).unwrap_or(u32::MAX);
    if have >= need {
        return Ok(approvers);
    }
    let with_passed_over =
        have.saturating_add(u32::try_from(passed_over.len()).unwrap_or(u32::MAX));
    match passed_over.into_iter().next() {
        Some(why) if with_passed_over >= need => Err(why),
        _ => Err(Refusal::ApprovalsMissing { have, need }),
    }
}

/// One statement about an order of `requester`, at this risk and time: the one rule, for machines and coordinator alike.
/// Outer error: the order is refused. Inner error: this approval does not count. Else the approver's name.
pub fn judge_statement(
    envelope: &Envelope,
    statement: &Statement,
    requester: &str,
    people: &People,
    risk: u8,
    now: i64,
) -> Result<Result<String, Refusal>, Refusal> {
    let who = || statement.person.clone();
    let unknown = || Ok(Err(Refusal::ApprovalUnknown(who())));
    let Some(person) = people.person(&statement.person) else {
        return unknown();
    };
    let [signature] = envelope.signatures.as_slice() else {
        return Err(Refusal::StatementSignatureInvalid);
    };
    let Some(key) = person.key(&signature.key_id) else {
        return unknown();
    };
    if !envelope.is_signed_by(&key.key) {
        return Err(Refusal::StatementSignatureInvalid);
    }
    match statement.decision {
        Decision::Reject => return Err(Refusal::Rejected(who())),
        Decision::Withdraw => return Err(Refusal::Withdrawn(who())),
        Decision::Approve => {}
    }
    let counts = if statement.person == requester {
        Err(Refusal::ApprovalOwnOrder(who()))
    } else if !person.may(Duty::Approve) {
        Err(Refusal::ApprovalNoDuty(who()))
    } else if now >= statement.expires_at_ms {
        Err(Refusal::ApprovalExpired(who()))
    } else if !key.is_valid_at(now) {
        Err(Refusal::ApprovalKeyNotValid(who()))
    } else if risk >= NO_BROWSER_FROM_RISK && key.custody == Custody::Browser {
        Err(Refusal::ApprovalBrowserKey(who()))
    } else if risk > key.max_risk {
        Err(Refusal::ApprovalKeyRisk(who()))
    } else {
        Ok(person.name.clone())
    };
    Ok(counts)
}
