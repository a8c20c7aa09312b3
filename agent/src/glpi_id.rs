//! The machine's name in GLPI's protocol, `<host>-YYYY-MM-DD-hh-mm-ss`: made once and kept in the state folder, so that GLPI
//! meets one machine. An administrator may write the name there that GLPI knows from another agent.

use std::io::Write as _;
use std::path::Path;

use chasqui_agent::agent::host_name;
use chasqui_agent::config::Config;
use chasqui_agent::inventory::Inventory;
use chasqui_base::durable;
use chasqui_base::text::Lang;
use chasqui_proto::v1::SectionKind;
use chasqui_proto::v1::section_facts::Facts;

/// In the state folder.
const FILE: &str = "glpi-device-id";

/// The kept name, else a new one, which is kept. Where nothing can be kept (an ordinary user, a captured tree) the time is
/// the day the system was installed, the same at each run; a line on the standard error says so.
pub fn device_id(
    config: Option<&Path>,
    captured: bool,
    inventory: &Inventory,
    now_ms: i64,
    lang: Lang,
) -> String {
    let host = match inventory
        .facts(SectionKind::Identity)
        .and_then(|facts| facts.facts)
    {
        Some(Facts::Identity(identity)) => identity.host_name.unwrap_or_else(host_name),
        _ => host_name(),
    };
    let installed = match inventory
        .facts(SectionKind::OperatingSystem)
        .and_then(|facts| facts.facts)
    {
        Some(Facts::OperatingSystem(system)) => system.installed_on,
        _ => None,
    };
    let stand_in = format!(
        "{host}-{}-00-00-00",
        installed.unwrap_or_else(|| "1970-01-01".to_owned())
    );
    if captured {
        return stand_in;
    }
    match kept(config, &host, now_ms) {
        Ok(id) => id,
        Err(why) => {
            let said = lang.pick(
                "el deviceid no se puede guardar; se usa uno derivado de la fecha de instalación",
                "the deviceid cannot be kept; one made of the day of installation is used",
            );
            let _ = writeln!(std::io::stderr(), "chasqui-agent: {said}: {why}");
            stand_in
        }
    }
}

fn kept(config: Option<&Path>, host: &str, now_ms: i64) -> Result<String, String> {
    let config = Config::load(config).map_err(|failure| failure.line(Lang::En))?;
    let path = config.state_dir.join(FILE);
    let shown = |error: std::io::Error| format!("{}: {error}", path.display());
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            let id = text.trim();
            if id.is_empty() || id.len() > 255 || id.chars().any(char::is_control) {
                return Err(format!("{}: no name stands in it", path.display()));
            }
            Ok(id.to_owned())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let id = format!("{host}-{}", chasqui_agent::inventory::glpi::stamp(now_ms));
            durable::write(&path, format!("{id}\n").as_bytes(), 0o644).map_err(shown)?;
            Ok(id)
        }
        Err(error) => Err(shown(error)),
    }
}
