//! Every reason for which an order does not run, each with a stable code and a text in both languages that says what to
//! do next. The codes are part of the format: results carry them.

use thiserror::Error;

use crate::canonical::FormatError;
use crate::definition::GrammarError;
use crate::render::utc;
use crate::text::Text;

/// Why an order is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}", self.text().en)]
pub enum Refusal {
    /// The bundle's own JSON.
    BundleMalformed(FormatError),
    /// The order's envelope or payload.
    OrderMalformed(FormatError),
    /// The definition's bytes.
    DefinitionMalformed(FormatError),
    /// A statement's envelope or payload.
    StatementMalformed(FormatError),
    /// A paper needs something this program does not know.
    UnknownCritical {
        /// Which paper.
        paper: &'static str,
        /// The name in `critical`.
        name: String,
    },
    /// The order is of another organisation.
    OrgMismatch {
        /// Ours.
        expected: String,
        /// The order's.
        found: String,
    },
    /// The root has expired.
    RootExpired,
    /// No people document is held.
    PeopleMissing,
    /// The people document has expired.
    PeopleExpired,
    /// The order needs a newer people document.
    PeopleTooOld {
        /// Version held.
        held: u64,
        /// Version needed.
        needed: u64,
    },
    /// The catalogue was verified under another root.
    CatalogueNotTrusted,
    /// The catalogue has expired.
    CatalogueExpired,
    /// The order needs a newer catalogue.
    CatalogueTooOld {
        /// Version held.
        held: u64,
        /// Version needed.
        needed: u64,
    },
    /// The requester is not in the people document.
    RequesterUnknown(String),
    /// The requester may not sign orders.
    RequesterNoDuty(String),
    /// The order is not signed by exactly one key, or not by a key of its requester.
    OrderKeyUnknown(String),
    /// The signature does not match.
    OrderSignatureInvalid,
    /// The requester's key is outside its validity.
    OrderKeyNotValid,
    /// The requester's key is held by a browser and the risk is 2 or more.
    OrderBrowserKey {
        /// The definition's risk.
        risk: u8,
    },
    /// The requester's key may not sign for this risk.
    OrderKeyRisk {
        /// The definition's risk.
        risk: u8,
        /// The key's.
        max: u8,
    },
    /// The definition's bytes are not those the order names.
    DefinitionDigest,
    /// The definition's own id or version is not the order's.
    DefinitionMismatch,
    /// The catalogue does not have this definition with this digest.
    DefinitionNotInCatalogue {
        /// Its id.
        id: String,
        /// Its version.
        version: u32,
    },
    /// One publisher alone signed the catalogue, and the definition's risk needs two.
    DefinitionPublishers {
        /// The definition's risk.
        risk: u8,
    },
    /// The definition does not run on this system.
    PlatformUnsupported,
    /// Parameters are not those defined, or outside their grammar.
    ParameterInvalid(GrammarError),
    /// The order asks the person for less consent than the definition does.
    ConsentTooWeak,
    /// Valid for longer than any machine accepts.
    ValidityTooLong,
    /// Not valid yet.
    NotYetValid {
        /// UTC milliseconds.
        not_before_ms: i64,
    },
    /// No longer valid.
    Expired {
        /// UTC milliseconds.
        not_after_ms: i64,
    },
    /// The leaf is of another machine.
    DeviceMismatch,
    /// The leaf is not among the order's targets.
    LeafProofInvalid,
    /// This machine's wave has not begun.
    WaveNotYet {
        /// UTC milliseconds.
        not_before_ms: i64,
    },
    /// The root allows no order of this risk on so many machines.
    NoThresholdFits {
        /// The definition's risk.
        risk: u8,
        /// The order's targets.
        targets: u32,
    },
    /// The root allows no emergency order of this risk on so many machines.
    BreakGlassNotAllowed {
        /// The definition's risk.
        risk: u8,
        /// The order's targets.
        targets: u32,
    },
    /// A statement is about another order.
    StatementOtherOrder,
    /// A statement is of another organisation.
    StatementOrgMismatch,
    /// A statement's signature does not match.
    StatementSignatureInvalid,
    /// A person of the organisation rejected the order.
    Rejected(String),
    /// A person took their word back.
    Withdrawn(String),
    /// One approval too few, or more.
    ApprovalsMissing {
        /// Distinct persons who approved.
        have: u32,
        /// Persons needed.
        need: u32,
    },
    /// Enough approvals, but two of them are of one person.
    ApprovalSamePerson(String),
    /// Enough approvals, but one of them is the requester's own.
    ApprovalOwnOrder(String),
    /// Enough approvals, but one has lapsed.
    ApprovalExpired(String),
    /// Enough approvals, but one is of somebody the people document does not name, or with a key it does not name.
    ApprovalUnknown(String),
    /// Enough approvals, but one is of somebody who may not approve.
    ApprovalNoDuty(String),
    /// Enough approvals, but one is with a key outside its validity.
    ApprovalKeyNotValid(String),
    /// Enough approvals, but one is with a browser's key at risk 2 or more.
    ApprovalBrowserKey(String),
    /// Enough approvals, but one is with a key that may not sign for this risk.
    ApprovalKeyRisk(String),
}

impl Refusal {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::BundleMalformed(_) => "BUNDLE_MALFORMED",
            Self::OrderMalformed(_) => "ORDER_MALFORMED",
            Self::DefinitionMalformed(_) => "DEFINITION_MALFORMED",
            Self::StatementMalformed(_) => "STATEMENT_MALFORMED",
            Self::UnknownCritical { .. } => "UNKNOWN_CRITICAL",
            Self::OrgMismatch { .. } => "ORDER_ORG_MISMATCH",
            Self::RootExpired => "ROOT_EXPIRED",
            Self::PeopleMissing => "PEOPLE_MISSING",
            Self::PeopleExpired => "PEOPLE_EXPIRED",
            Self::PeopleTooOld { .. } => "PEOPLE_TOO_OLD",
            Self::CatalogueNotTrusted => "CATALOGUE_NOT_TRUSTED",
            Self::CatalogueExpired => "CATALOGUE_EXPIRED",
            Self::CatalogueTooOld { .. } => "CATALOGUE_TOO_OLD",
            Self::RequesterUnknown(_) => "REQUESTER_UNKNOWN",
            Self::RequesterNoDuty(_) => "REQUESTER_NO_DUTY",
            Self::OrderKeyUnknown(_) => "ORDER_KEY_UNKNOWN",
            Self::OrderSignatureInvalid => "ORDER_SIGNATURE_INVALID",
            Self::OrderKeyNotValid => "ORDER_KEY_NOT_VALID",
            Self::OrderBrowserKey { .. } => "ORDER_BROWSER_KEY",
            Self::OrderKeyRisk { .. } => "ORDER_KEY_RISK",
            Self::DefinitionDigest => "DEFINITION_DIGEST",
            Self::DefinitionMismatch => "DEFINITION_MISMATCH",
            Self::DefinitionNotInCatalogue { .. } => "DEFINITION_NOT_IN_CATALOGUE",
            Self::DefinitionPublishers { .. } => "DEFINITION_PUBLISHERS",
            Self::PlatformUnsupported => "PLATFORM_UNSUPPORTED",
            Self::ParameterInvalid(_) => "PARAMETER_INVALID",
            Self::ConsentTooWeak => "CONSENT_TOO_WEAK",
            Self::ValidityTooLong => "ORDER_VALIDITY_TOO_LONG",
            Self::NotYetValid { .. } => "ORDER_NOT_YET_VALID",
            Self::Expired { .. } => "ORDER_EXPIRED",
            Self::DeviceMismatch => "ORDER_OTHER_DEVICE",
            Self::LeafProofInvalid => "ORDER_LEAF_PROOF_INVALID",
            Self::WaveNotYet { .. } => "ORDER_WAVE_NOT_YET",
            Self::NoThresholdFits { .. } => "ORDER_NO_THRESHOLD_FITS",
            Self::BreakGlassNotAllowed { .. } => "BREAK_GLASS_NOT_ALLOWED",
            Self::StatementOtherOrder => "STATEMENT_OTHER_ORDER",
            Self::StatementOrgMismatch => "STATEMENT_ORG_MISMATCH",
            Self::StatementSignatureInvalid => "STATEMENT_SIGNATURE_INVALID",
            Self::Rejected(_) => "ORDER_REJECTED",
            Self::Withdrawn(_) => "ORDER_WITHDRAWN",
            Self::ApprovalsMissing { .. } => "APPROVALS_MISSING",
            Self::ApprovalSamePerson(_) => "APPROVAL_SAME_PERSON",
            Self::ApprovalOwnOrder(_) => "APPROVAL_OWN_ORDER",
            Self::ApprovalExpired(_) => "APPROVAL_EXPIRED",
            Self::ApprovalUnknown(_) => "APPROVAL_UNKNOWN_KEY",
            Self::ApprovalNoDuty(_) => "APPROVAL_NO_DUTY",
            Self::ApprovalKeyNotValid(_) => "APPROVAL_KEY_NOT_VALID",
            Self::ApprovalBrowserKey(_) => "APPROVAL_BROWSER_KEY",
            Self::ApprovalKeyRisk(_) => "APPROVAL_KEY_RISK",
        }
    }

    /// True when the same order may be accepted later or with fresher papers, so it need not be thrown away.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::PeopleMissing
                | Self::PeopleExpired
                | Self::PeopleTooOld { .. }
                | Self::CatalogueNotTrusted
                | Self::CatalogueExpired
                | Self::CatalogueTooOld { .. }
                | Self::NotYetValid { .. }
                | Self::WaveNotYet { .. }
                | Self::RootExpired
        )
    }

    /// In both languages, with what to do next.
    pub fn text(&self) -> Text {
        let (es, en) = match self {
            Self::BundleMalformed(e) => return around("el paquete de la orden está dañado", "the order bundle is damaged", e),
            Self::OrderMalformed(e) => return around("la orden está dañada", "the order is damaged", e),
            Self::DefinitionMalformed(e) => return around("la definición de la acción está dañada", "the action definition is damaged", e),
            Self::StatementMalformed(e) => return around("una declaración está dañada", "a statement is damaged", e),
            Self::UnknownCritical { paper, name } => (
                format!("un documento ({paper}) exige {name:?}, que este programa no conoce; actualice el programa"),
                format!("a paper ({paper}) needs {name:?}, which this program does not know; update the program"),
            ),
            Self::OrgMismatch { expected, found } => (
                format!("la orden es de la organización {found}; este equipo es de {expected}"),
                format!("the order is of organisation {found}; this machine is of {expected}"),
            ),
            Self::RootExpired => (
                "la raíz de confianza venció; firme una nueva raíz y distribúyala".into(),
                "the root has expired; sign a new root and distribute it".into(),
            ),
            Self::PeopleMissing => (
                "no hay documento de personas; publique uno firmado por los administradores de confianza".into(),
                "no people document is held; publish one signed by the trust administrators".into(),
            ),
            Self::PeopleExpired => (
                "el documento de personas venció; renuévelo con `chasqui trust renew`".into(),
                "the people document has expired; renew it with `chasqui trust renew`".into(),
            ),
            Self::PeopleTooOld { held, needed } => (
                format!("la orden exige el documento de personas {needed} y se tiene el {held}; espere a que llegue el nuevo"),
                format!("the order needs people document {needed} and {held} is held; wait until the new one arrives"),
            ),
            Self::CatalogueNotTrusted => (
                "el catálogo se verificó con otra raíz; publíquelo de nuevo bajo la raíz actual".into(),
                "the catalogue was verified under another root; publish it again under the present root".into(),
            ),
            Self::CatalogueExpired => (
                "el catálogo venció; los publicadores deben firmar uno nuevo".into(),
                "the catalogue has expired; the publishers must sign a new one".into(),
            ),
            Self::CatalogueTooOld { held, needed } => (
                format!("la orden exige el catálogo {needed} y se tiene el {held}; espere a que llegue el nuevo"),
                format!("the order needs catalogue {needed} and {held} is held; wait until the new one arrives"),
            ),
            Self::RequesterUnknown(p) => (
                format!("el solicitante {p} no está en el documento de personas; agréguelo o que firme otra persona"),
                format!("the requester {p} is not in the people document; add them or let somebody else sign"),
            ),
            Self::RequesterNoDuty(p) => (
                format!("{p} no puede firmar órdenes; que firme quien tenga ese deber"),
                format!("{p} may not sign orders; let somebody with that duty sign"),
            ),
            Self::OrderKeyUnknown(p) => (
                format!("la orden no está firmada por una sola clave de {p}; fírmela de nuevo con una clave vigente"),
                format!("the order is not signed by exactly one key of {p}; sign it again with a key that is listed"),
            ),
            Self::OrderSignatureInvalid => (
                "la firma de la orden no corresponde a su contenido; no la ejecute y avise a seguridad".into(),
                "the order's signature does not match its content; do not run it and tell the security team".into(),
            ),
            Self::OrderKeyNotValid => (
                "la clave del solicitante no está vigente; firme con otra o renuévela".into(),
                "the requester's key is outside its validity; sign with another or renew it".into(),
            ),
            Self::OrderBrowserKey { risk } => (
                format!("una clave del navegador no puede firmar riesgo {risk}; firme con el programa chasqui"),
                format!("a browser's key cannot sign for risk {risk}; sign with the chasqui program"),
            ),
            Self::OrderKeyRisk { risk, max } => (
                format!("la clave del solicitante firma hasta riesgo {max} y la acción tiene riesgo {risk}; que firme otra persona"),
                format!("the requester's key signs up to risk {max} and the action has risk {risk}; let somebody else sign"),
            ),
            Self::DefinitionDigest => (
                "la definición entregada no es la que se firmó; no la ejecute y avise a seguridad".into(),
                "the definition delivered is not the one signed; do not run it and tell the security team".into(),
            ),
            Self::DefinitionMismatch => (
                "la orden nombra la definición con otro nombre o versión que los suyos; solicítela de nuevo".into(),
                "the order names the definition by another id or version than its own; request it again".into(),
            ),
            Self::DefinitionNotInCatalogue { id, version } => (
                format!("el catálogo no tiene {id} versión {version} con este contenido; use una definición publicada"),
                format!("the catalogue does not have {id} version {version} with this content; use a published definition"),
            ),
            Self::DefinitionPublishers { risk } => (
                format!("una acción de riesgo {risk} exige que dos publicadores firmen el catálogo y este lo firmó uno; fírmelo también otro"),
                format!("an action of risk {risk} needs a catalogue signed by two publishers and one signed this one; let another sign it too"),
            ),
            Self::PlatformUnsupported => (
                "la acción no es para este sistema operativo; escoja otra".into(),
                "the action is not for this operating system; choose another".into(),
            ),
            Self::ParameterInvalid(e) => {
                let inner = e.text();
                (
                    format!("{}; corrija y firme de nuevo", inner.es),
                    format!("{}; correct it and sign again", inner.en),
                )
            }
            Self::ConsentTooWeak => (
                "la orden pide menos consentimiento que la definición; firme de nuevo con el que exige".into(),
                "the order asks for less consent than the definition; sign again with what it demands".into(),
            ),
            Self::ValidityTooLong => (
                "la orden vale más de 30 días; firme una más corta".into(),
                "the order is valid for more than 30 days; sign a shorter one".into(),
            ),
            Self::NotYetValid { not_before_ms } => (
                format!("la orden vale desde {}; espere o revise el reloj del equipo", utc(*not_before_ms)),
                format!("the order is valid from {}; wait, or look at this machine's clock", utc(*not_before_ms)),
            ),
            Self::Expired { not_after_ms } => (
                format!("la orden venció en {}; solicítela de nuevo", utc(*not_after_ms)),
                format!("the order expired at {}; request it again", utc(*not_after_ms)),
            ),
            Self::DeviceMismatch => (
                "la orden es para otro equipo; no la ejecute y avise a seguridad".into(),
                "the order is for another machine; do not run it and tell the security team".into(),
            ),
            Self::LeafProofInvalid => (
                "este equipo no está entre los equipos firmados de la orden; no la ejecute y avise a seguridad".into(),
                "this machine is not among the order's signed targets; do not run it and tell the security team".into(),
            ),
            Self::WaveNotYet { not_before_ms } => (
                format!("el turno de este equipo empieza en {}; espere", utc(*not_before_ms)),
                format!("this machine's wave begins at {}; wait", utc(*not_before_ms)),
            ),
            Self::BreakGlassNotAllowed { risk, targets } => (
                format!("la raíz no permite órdenes de emergencia de riesgo {risk} en {targets} equipos; pídala con sus aprobaciones"),
                format!("the root allows no emergency order of risk {risk} on {targets} machines; request it with its approvals"),
            ),
            Self::NoThresholdFits { risk, targets } => (
                format!("la raíz no permite riesgo {risk} en {targets} equipos; divida la orden o cambie la raíz"),
                format!("the root allows no order of risk {risk} on {targets} machines; split the order or change the root"),
            ),
            Self::StatementOtherOrder => (
                "una declaración trata de otra orden; quítela".into(),
                "a statement is about another order; remove it".into(),
            ),
            Self::StatementOrgMismatch => (
                "una declaración es de otra organización; quítela".into(),
                "a statement is of another organisation; remove it".into(),
            ),
            Self::StatementSignatureInvalid => (
                "la firma de una declaración no corresponde a su contenido; avise a seguridad".into(),
                "a statement's signature does not match its content; tell the security team".into(),
            ),
            Self::Rejected(p) => (
                format!("{p} rechazó la orden; solicite otra"),
                format!("{p} rejected the order; request another"),
            ),
            Self::Withdrawn(p) => (
                format!("{p} retiró su firma; solicite otra orden"),
                format!("{p} withdrew; request another order"),
            ),
            Self::ApprovalsMissing { have, need } => (
                format!("hay {have} de {need} aprobaciones; faltan {}", need.saturating_sub(*have)),
                format!("{have} of {need} approvals are there; {} missing", need.saturating_sub(*have)),
            ),
            Self::ApprovalSamePerson(p) => (
                format!("dos aprobaciones son de {p}; se necesitan personas distintas"),
                format!("two approvals are of {p}; distinct persons are needed"),
            ),
            Self::ApprovalOwnOrder(p) => (
                format!("{p} aprobó su propia orden; debe aprobarla otra persona"),
                format!("{p} approved their own order; somebody else must approve it"),
            ),
            Self::ApprovalExpired(p) => (
                format!("la aprobación de {p} venció; debe aprobar de nuevo"),
                format!("the approval of {p} has lapsed; they must approve again"),
            ),
            Self::ApprovalUnknown(p) => (
                format!("la aprobación de {p} no es de una clave del documento de personas; debe aprobar otra persona"),
                format!("the approval of {p} is not of a key in the people document; somebody else must approve"),
            ),
            Self::ApprovalNoDuty(p) => (
                format!("{p} no puede aprobar órdenes; debe aprobar quien tenga ese deber"),
                format!("{p} may not approve orders; somebody with that duty must approve"),
            ),
            Self::ApprovalKeyNotValid(p) => (
                format!("la clave con que aprobó {p} no está vigente; debe aprobar de nuevo con otra"),
                format!("the key {p} approved with is outside its validity; they must approve again with another"),
            ),
            Self::ApprovalBrowserKey(p) => (
                format!("{p} aprobó con una clave del navegador, que no vale desde riesgo 2; apruebe con el programa chasqui"),
                format!("{p} approved with a browser's key, which does not count from risk 2 on; approve with the chasqui program"),
            ),
            Self::ApprovalKeyRisk(p) => (
                format!("la clave con que aprobó {p} no alcanza para este riesgo; debe aprobar otra persona"),
                format!("the key {p} approved with may not sign for this risk; somebody else must approve"),
            ),
        };
        Text { es, en }
    }
}

fn around(es: &str, en: &str, inner: &FormatError) -> Text {
    let inner = inner.text();
    Text {
        es: format!("{es}: {}; solicítela de nuevo", inner.es),
        en: format!("{en}: {}; request it again", inner.en),
    }
}
