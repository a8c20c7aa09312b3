//! The facts of two devices in words and weights, for people and for the order of candidates.

use super::Finding;
use super::facts::Fact::{Differs, Equal, Unknown};
use super::facts::Facts;
use crate::Text;

/// Every fact, with its weight.
pub(super) fn explain(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    // A fact's weight when equal and when different; 0 where it says nothing.
    for (fact, (code, es, en), equal, differs) in [
        (
            facts.uuid,
            ("uuid", "UUID de SMBIOS", "SMBIOS UUID"),
            40,
            -40,
        ),
        (
            facts.serial,
            (
                "serial",
                "serial del equipo o chasis",
                "serial number of system or chassis",
            ),
            40,
            -40,
        ),
        (
            facts.board,
            (
                "board",
                "serial de la tarjeta madre",
                "serial number of the board",
            ),
            20,
            -10,
        ),
        (
            facts.disks,
            ("disks", "discos fijos", "fixed disks"),
            20,
            -10,
        ),
        (
            facts.nics,
            (
                "nics",
                "tarjetas de red propias",
                "built-in network hardware",
            ),
            20,
            -10,
        ),
        (
            facts.model,
            ("model", "marca y modelo", "maker and model"),
            5,
            -20,
        ),
        (facts.host, ("host_name", "nombre", "host name"), 2, 0),
        (
            facts.image,
            (
                "image",
                "identificador de la instalación",
                "id of the installation",
            ),
            0,
            0,
        ),
        (
            facts.is_virtual,
            (
                "virtual",
                "tipo de máquina (física o virtual)",
                "kind of machine (physical or virtual)",
            ),
            0,
            -20,
        ),
    ] {
        let (suffix, weight, es_word, en_word) = match fact {
            Equal => ("equal", equal, "igual", "equal"),
            Differs => ("differs", differs, "distinto", "different"),
            Unknown => (
                "unknown",
                0,
                "no observado en ambos",
                "not observed on both",
            ),
        };
        findings.push(Finding {
            code: code_of(code, suffix),
            weight,
            text: Text::new(format!("{es}: {es_word}"), format!("{en}: {en_word}")),
        });
    }
    if facts.borrowed_nic {
        findings.push(Finding {
            code: "borrowed_nic_shared",
            weight: 0,
            text: Text::new(
                "comparten un adaptador virtual, USB o de base: no identifica",
                "they share a virtual, USB or dock adapter: it identifies nobody",
            ),
        });
    }
    if facts.at_once {
        findings.push(Finding {
            code: "alive_at_once",
            weight: -100,
            text: Text::new("ambos están conectados ahora", "both are connected now"),
        });
    }
    if facts.in_turns {
        findings.push(Finding {
            code: "alive_in_turns",
            weight: -30,
            text: Text::new(
                "el anterior se vio después de inscribirse el nuevo",
                "the earlier one was seen after the new one enrolled",
            ),
        });
    }
    findings
}

macro_rules! codes {
    ($($name:literal),*) => {
        fn code_of(name: &str, suffix: &str) -> &'static str {
            match (name, suffix) {
                $(($name, "equal") => concat!($name, "_equal"), ($name, "differs") => concat!($name, "_differs"),
                  ($name, _) => concat!($name, "_unknown"),)*
                _ => "fact",
            }
        }
    };
}
codes!(
    "uuid",
    "serial",
    "board",
    "disks",
    "nics",
    "model",
    "host_name",
    "image",
    "virtual"
);
