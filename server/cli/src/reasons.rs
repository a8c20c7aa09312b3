//! Texts of the coordinator's reasons in both languages, and what to do next. A reason that is not here is shown in the
//! coordinator's own words; nothing is decided by this table.

/// What a reason means.
#[derive(Clone, Copy, Debug)]
pub struct Reason {
    code: &'static str,
    /// Spanish.
    pub es: &'static str,
    /// English.
    pub en: &'static str,
    /// What to do next, in Spanish and English.
    pub hint: Option<(&'static str, &'static str)>,
}

/// The row of a reason.
pub fn find(code: &str) -> Option<&'static Reason> {
    TABLE.iter().find(|row| row.code == code)
}

const fn row(
    code: &'static str,
    es: &'static str,
    en: &'static str,
    hint: Option<(&'static str, &'static str)>,
) -> Reason {
    Reason { code, es, en, hint }
}

const TABLE: &[Reason] = &[
    row(
        "SESSION_REQUIRED",
        "no hay una sesión iniciada",
        "nobody is logged in",
        Some((
            "inicie sesión con: chasqui login",
            "log in with: chasqui login",
        )),
    ),
    row(
        "SESSION_UNKNOWN",
        "la sesión ya no existe",
        "the session is there no more",
        Some((
            "inicie sesión con: chasqui login",
            "log in with: chasqui login",
        )),
    ),
    row(
        "SESSION_EXPIRED",
        "la sesión terminó",
        "the session is over",
        Some((
            "inicie sesión con: chasqui login",
            "log in with: chasqui login",
        )),
    ),
    row(
        "LOGIN_REFUSED",
        "el usuario o la contraseña no son correctos",
        "the log-in or the password is wrong",
        None,
    ),
    row(
        "LOGIN_OVERLOADED",
        "demasiadas personas inician sesión a la vez",
        "too many people are logging in at once",
        None,
    ),
    row(
        "TOO_MANY_TRIES",
        "demasiados intentos de inicio de sesión",
        "too many log-in attempts",
        None,
    ),
    row(
        "OLD_PASSWORD_WRONG",
        "la contraseña actual no es correcta",
        "the present password is wrong",
        None,
    ),
    row(
        "PASSWORD_OF_ANOTHER",
        "solo quien administra cambia la contraseña de otra persona",
        "only an administrator changes somebody else's password",
        None,
    ),
    row(
        "LOGIN_TAKEN",
        "ese nombre de usuario ya existe",
        "that log-in name is taken",
        Some(("elija otro", "choose another")),
    ),
    row(
        "LAST_ADMINISTRATOR",
        "es la última cuenta de administración: no se puede cerrar",
        "it is the last administrator's account: it cannot be closed",
        None,
    ),
    row(
        "ROLE_REQUIRED",
        "su rol no permite esto",
        "your role does not allow this",
        Some((
            "chasqui whoami muestra sus roles",
            "chasqui whoami shows your roles",
        )),
    ),
    row(
        "REQUEST_ID_REUSED",
        "el mismo número de solicitud se usó con otro contenido",
        "the same request id was used with another content",
        None,
    ),
    row(
        "PAGE_TOKEN_INVALID",
        "la señal de página es de otra consulta o está dañada",
        "the page token is of another query or damaged",
        Some((
            "empiece la lista de nuevo, sin --page",
            "begin the list anew, without --page",
        )),
    ),
    row(
        "TICKET_CHANGED",
        "alguien cambió el tiquete al mismo tiempo",
        "somebody changed the ticket at the same time",
        Some((
            "mírelo de nuevo y repita el cambio",
            "look at it again and repeat the change",
        )),
    ),
    row(
        "TICKET_CLOSED",
        "el tiquete está cerrado",
        "the ticket is closed",
        None,
    ),
    row(
        "TICKET_UNKNOWN",
        "no existe ese tiquete",
        "there is no such ticket",
        Some((
            "véalos con: chasqui ticket list",
            "list them with: chasqui ticket list",
        )),
    ),
    row(
        "DEVICE_UNKNOWN",
        "no existe ese equipo",
        "there is no such device",
        Some((
            "véalos con: chasqui device list",
            "list them with: chasqui device list",
        )),
    ),
    row(
        "DEVICE_AMBIGUOUS",
        "ese nombre corresponde a varios equipos",
        "that name fits several devices",
        Some(("use el identificador", "use the id")),
    ),
    row(
        "DEVICE_REVOKED",
        "el equipo está revocado",
        "the device is revoked",
        None,
    ),
    row(
        "DEVICE_QUARANTINED",
        "el equipo está en cuarentena: su identidad se vio en dos máquinas",
        "the device is quarantined: its identity was seen on two machines",
        Some((
            "decida con: chasqui device quarantine resolve",
            "decide with: chasqui device quarantine resolve",
        )),
    ),
    row(
        "DEVICE_NOT_ACTIVE",
        "el equipo no está activo",
        "the device is not active",
        None,
    ),
    row(
        "DEVICE_RETIRED",
        "el equipo está retirado y su certificado ya se rechaza",
        "the device is retired and its certificate is refused already",
        None,
    ),
    row(
        "DEVICE_MATCH_RESOLVED",
        "ya se decidió sobre esa coincidencia, o se retiró",
        "that match was decided already, or withdrawn",
        Some((
            "véalas con: chasqui device matches",
            "list them with: chasqui device matches",
        )),
    ),
    row(
        "DEVICE_MATCH_STATE",
        "el equipo que continúa debe estar activo y el otro no puede estar retirado",
        "the device that goes on must be active and the other not yet retired",
        None,
    ),
    row(
        "DEVICE_MATCH_ALIVE",
        "el equipo conocido está conectado ahora: dos equipos activos a la vez no son uno",
        "the known device is connected now: two alive at one time are not one",
        Some((
            "sepárelos con: chasqui device matches apart",
            "keep them apart with: chasqui device matches apart",
        )),
    ),
    row(
        "MATCH_UNKNOWN",
        "no existe esa coincidencia",
        "there is no such match",
        Some((
            "véalas con: chasqui device matches",
            "list them with: chasqui device matches",
        )),
    ),
    row(
        "DEVICE_NOT_MERGED",
        "ese equipo no está fusionado en otro: indique el retirado",
        "that device is merged into no other: name the retired one",
        None,
    ),
    row(
        "DEVICE_MERGED_ON",
        "el equipo que continúa también se fusionó en otro: separe primero ese",
        "the device that goes on was merged itself: split that one first",
        None,
    ),
    row(
        "QUARANTINE_RESOLVED",
        "ya se decidió sobre esa cuarentena",
        "that quarantine was decided already",
        None,
    ),
    row(
        "PERSON_UNKNOWN",
        "no existe esa persona",
        "there is no such person",
        Some((
            "véalas con: chasqui person list",
            "list them with: chasqui person list",
        )),
    ),
    row(
        "TOKEN_UNKNOWN",
        "no existe esa ficha",
        "there is no such token",
        None,
    ),
    row(
        "ORDER_UNKNOWN",
        "no existe esa orden",
        "there is no such order",
        Some((
            "véalas con: chasqui order list",
            "list them with: chasqui order list",
        )),
    ),
    row(
        "ORDER_STATE",
        "el estado de la orden ya no lo permite",
        "the order's state no longer allows it",
        None,
    ),
    row(
        "ORDER_EXISTS",
        "esa orden ya se registró",
        "that order was registered already",
        None,
    ),
    row(
        "ORDER_SIGNATURE_INVALID",
        "la firma de la orden no es válida",
        "the order's signature does not hold",
        None,
    ),
    row(
        "ORDER_REQUESTER_MISMATCH",
        "la orden la firma otra persona que la de la sesión",
        "the order is signed by another person than the one logged in",
        Some(("firme con su propia clave", "sign with your own key")),
    ),
    row(
        "ORDER_TICKET_MISMATCH",
        "la orden nombra otro tiquete",
        "the order names another ticket",
        None,
    ),
    row(
        "ORDER_TARGETS_MISMATCH",
        "los equipos no son los que la orden firma",
        "the machines are not those the order signs",
        None,
    ),
    row(
        "ORDER_HOST_NAME_MISMATCH",
        "el nombre del equipo cambió desde que se preparó la orden",
        "the machine's name changed since the order was prepared",
        Some(("solicítela de nuevo", "request it again")),
    ),
    row(
        "ORDER_PLATE_MISMATCH",
        "la placa del equipo cambió desde que se preparó la orden",
        "the machine's plate changed since the order was prepared",
        Some(("solicítela de nuevo", "request it again")),
    ),
    row(
        "ORDER_DEVICE_UNKNOWN",
        "la orden nombra un equipo que no está inscrito",
        "the order names a machine that is not enrolled",
        None,
    ),
    row(
        "ORDER_DEVICE_TWICE",
        "la orden nombra un equipo dos veces",
        "the order names a machine twice",
        None,
    ),
    row(
        "STATEMENT_PERSON_MISMATCH",
        "la declaración la firma otra persona que la de la sesión",
        "the statement is signed by another person than the one logged in",
        Some(("firme con su propia clave", "sign with your own key")),
    ),
    row(
        "STATEMENT_SIGNATURE_INVALID",
        "la firma de la declaración no es válida",
        "the statement's signature does not hold",
        None,
    ),
    row(
        "STATEMENTS_TOO_MANY",
        "la orden ya tiene el máximo de declaraciones",
        "the order has as many statements as it can",
        None,
    ),
    row(
        "EVIDENCE_INCOMPLETE",
        "todavía falta algo para la evidencia",
        "something is still missing for the evidence",
        Some((
            "espere a que la orden termine",
            "wait until the order is final",
        )),
    ),
    row(
        "EVIDENCE_TOO_LARGE",
        "la evidencia es demasiado grande",
        "the evidence is too large",
        None,
    ),
    row(
        "PEOPLE_EXPIRED",
        "el documento de personas venció: ninguna orden puede ejecutarse",
        "the people document expired: no order can run",
        Some((
            "quien administra la confianza lo renueva con: chasqui trust renew",
            "a trust administrator renews it with: chasqui trust renew",
        )),
    ),
    row(
        "CATALOGUE_EXPIRED",
        "el catálogo venció: ninguna orden puede ejecutarse",
        "the catalogue expired: no order can run",
        Some((
            "un publicador lo firma de nuevo con: chasqui catalogue sign",
            "a publisher signs it anew with: chasqui catalogue sign",
        )),
    ),
    row(
        "ROOT_MISSING",
        "el coordinador todavía no tiene una raíz",
        "the coordinator has no root yet",
        Some((
            "publíquelo con: chasqui trust publish",
            "publish it with: chasqui trust publish",
        )),
    ),
    row(
        "PEOPLE_MISSING",
        "el coordinador todavía no tiene documento de personas",
        "the coordinator has no people document yet",
        Some((
            "publíquelo con: chasqui trust publish",
            "publish it with: chasqui trust publish",
        )),
    ),
    row(
        "CATALOGUE_MISSING",
        "el coordinador todavía no tiene catálogo",
        "the coordinator has no catalogue yet",
        Some((
            "publíquelo con: chasqui catalogue publish",
            "publish it with: chasqui catalogue publish",
        )),
    ),
    row(
        "ROOT_NOT_PINNED",
        "la primera raíz la publica quien administra",
        "an administrator publishes the first root",
        None,
    ),
    row(
        "DEFINITION_UNKNOWN",
        "no existe esa definición",
        "there is no such definition",
        Some((
            "véalas con: chasqui catalogue list",
            "list them with: chasqui catalogue list",
        )),
    ),
    row(
        "STORE_UNAVAILABLE",
        "la base de datos del coordinador no está disponible",
        "the coordinator's database is away",
        None,
    ),
    row(
        "STORE_FULL",
        "el disco del coordinador está lleno; lo respondido antes está a salvo",
        "the coordinator's disk is full; what was answered before is safe",
        Some((
            "avise a quien administra el coordinador",
            "tell the coordinator's administrator",
        )),
    ),
    row(
        "STORE_CONFLICT",
        "muchos cambios a la vez",
        "many changes at once",
        Some(("repita", "try again")),
    ),
    row(
        "SHUTTING_DOWN",
        "el coordinador se está deteniendo",
        "the coordinator is stopping",
        None,
    ),
    row(
        "CALL_TOO_LONG",
        "la llamada tardó demasiado",
        "the call took too long",
        None,
    ),
    row(
        "METHOD_UNKNOWN",
        "el coordinador no conoce esta llamada",
        "the coordinator does not know this call",
        Some((
            "actualice el coordinador o este programa",
            "update the coordinator or this program",
        )),
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_reason_has_two_rows() {
        let mut codes: Vec<&str> = TABLE.iter().map(|row| row.code).collect();
        codes.sort_unstable();
        let before = codes.len();
        codes.dedup();
        assert_eq!(codes.len(), before);
    }
}
