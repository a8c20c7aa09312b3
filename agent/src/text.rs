//! What `chasqui-agent` prints for people, in Spanish and English. Errors carry their own texts.

use std::fmt::Write as _;

use chasqui_base::clock::SECOND_MS;
use chasqui_base::text::{Lang, Text};
use chasqui_trust::render::utc;
use chasqui_trust::text::neutralise;

use crate::identity::Identity;
use crate::status::{HistoryItem, Link, Status};

/// What `--help` says of the exit codes.
pub const EXIT_CODES: &str = "Exit codes / Códigos de salida: 0 done / hecho; 1 failed, try again / falló, reintente; \
2 usage or configuration / uso o configuración; 3 refused, or somebody must act first / rechazado, o alguien debe actuar antes.";

/// After `enrol`.
pub fn enrolled(identity: &Identity, lang: Lang) -> String {
    let fingerprint = identity.fingerprint();
    match lang {
        Lang::Es => format!(
            "Inscrito en {} como {}.\nHuella de la clave: {fingerprint}\nCertificado válido hasta {}.",
            identity.organisation,
            identity.device_id,
            utc(identity.not_after_ms)
        ),
        Lang::En => format!(
            "Enrolled at {} as {}.\nKey fingerprint: {fingerprint}\nCertificate valid until {}.",
            identity.organisation,
            identity.device_id,
            utc(identity.not_after_ms)
        ),
    }
}

/// `status` for people.
pub fn status(status: &Status, running: bool, lang: Lang) -> String {
    let mut out = String::new();
    let mut line = |es: &str, en: &str, value: String| {
        let _ = writeln!(out, "{:<22} {value}", lang.pick(es, en));
    };
    let link = if running {
        link_name(status.link).get(lang).to_owned()
    } else {
        lang.pick("el agente no está en ejecución", "the agent is not running")
            .to_owned()
    };
    line(
        "Enlace",
        "Link",
        format!("{link} ({})", utc(status.link_since_ms)),
    );
    line("Coordinador", "Coordinator", status.server.clone());
    line("Equipo", "Device", status.device_id.clone());
    line("Organización", "Organisation", status.organisation.clone());
    line("Huella", "Fingerprint", status.fingerprint.clone());
    line(
        "Certificado hasta",
        "Certificate until",
        utc(status.certificate_not_after_ms),
    );
    line("Raíz", "Root", format!("v{}", status.root_version));
    let document = |version: u64, expires_at_ms: i64| {
        if version == 0 {
            lang.pick("ninguno", "none").to_owned()
        } else {
            format!(
                "v{version}, {} {}",
                lang.pick("vence", "expires"),
                utc(expires_at_ms)
            )
        }
    };
    line(
        "Personas",
        "People",
        document(status.people_version, status.people_expires_at_ms),
    );
    line(
        "Catálogo",
        "Catalogue",
        document(status.catalogue_version, status.catalogue_expires_at_ms),
    );
    if let Some(offset) = status.clock_offset_ms {
        let seconds = offset / SECOND_MS;
        let mut text = format!("{seconds:+} s");
        if status.clock_wrong {
            text.push_str(lang.pick(
                " — el reloj está mal: corríjalo, o las órdenes pueden ser rechazadas",
                " — the clock is wrong: mend it, or orders may be refused",
            ));
        }
        line("Reloj", "Clock", text);
    }
    let inventory = if status.inventory_at_ms == 0 {
        lang.pick("nunca", "never").to_owned()
    } else {
        utc(status.inventory_at_ms)
    };
    line("Último inventario", "Last inventory", inventory);
    line(
        "Resultados pendientes",
        "Results waiting",
        status.results_waiting.to_string(),
    );
    if let Some(order) = &status.running {
        line("En curso", "Under way", order.clone());
    }
    for problem in [
        &status.problem,
        &status.trust_problem,
        &status.inventory_problem,
    ]
    .into_iter()
    .flatten()
    {
        line(
            "Problema",
            "Problem",
            format!(
                "{} [{}] {}",
                neutralise(problem.text.get(lang)),
                problem.code,
                utc(problem.at_ms)
            ),
        );
    }
    out
}

fn link_name(link: Link) -> Text {
    match link {
        Link::Connecting => Text::new("conectando", "connecting"),
        Link::Connected => Text::new("conectado", "connected"),
        Link::Disconnected => Text::new("desconectado", "disconnected"),
        Link::Revoked => Text::new("dado de baja", "revoked"),
        Link::Quarantined => Text::new("en cuarentena", "quarantined"),
        Link::Stopped => Text::new("detenido", "stopped"),
    }
}

/// `history` for people, newest first.
pub fn history(items: &[HistoryItem], lang: Lang) -> String {
    if items.is_empty() {
        return lang
            .pick(
                "No se ha hecho nada en este equipo.\n",
                "Nothing was done on this machine.\n",
            )
            .to_owned();
    }
    let mut out = String::new();
    for item in items {
        let title = item.title.get(lang);
        let _ = writeln!(
            out,
            "{}  {}  {}",
            utc(item.accepted_at_ms),
            state_name(&item.state).get(lang),
            neutralise(if title.is_empty() {
                &item.order_id
            } else {
                title
            }),
        );
        let _ = writeln!(
            out,
            "    {} {} · {} {} · {} {}",
            lang.pick("tiquete", "ticket"),
            neutralise(&item.ticket),
            lang.pick("solicitó", "requested by"),
            neutralise(&item.requester),
            lang.pick("motivo:", "reason:"),
            neutralise(&item.reason),
        );
        let explanation = item.explanation.get(lang);
        if !explanation.is_empty() {
            let _ = writeln!(out, "    {}", neutralise(explanation));
        }
    }
    out
}

fn state_name(state: &str) -> Text {
    match state {
        "accepted" => Text::new("aceptada", "accepted"),
        "started" => Text::new("en curso", "under way"),
        "succeeded" => Text::new("hecha", "done"),
        "failed" => Text::new("falló", "failed"),
        "refused" => Text::new("rechazada", "refused"),
        "cancelled" => Text::new("cancelada", "cancelled"),
        "unknown" => Text::new("sin resultado conocido", "result unknown"),
        other => Text::new(other, other),
    }
}

/// A file of the state folder that cannot be read by this user, or is not there.
pub fn unreadable(path: &std::path::Path, error: &std::io::Error) -> Text {
    let path = path.display();
    match error.kind() {
        std::io::ErrorKind::NotFound => Text::new(
            format!("no hay {path}: el agente aún no ha corrido con esta configuración"),
            format!("there is no {path}: the agent has not run with this configuration yet"),
        ),
        std::io::ErrorKind::PermissionDenied => Text::new(
            format!("no tiene permiso para leer {path}: use sudo"),
            format!("you may not read {path}: use sudo"),
        ),
        _ => Text::new(
            format!("no se puede leer {path}: {error}"),
            format!("{path} cannot be read: {error}"),
        ),
    }
}
