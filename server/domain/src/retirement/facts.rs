//! What is known of a machine, and what is not and why. The collector fills this in; no rule is here but the reading
//! of names that systems give themselves.

use serde::{Deserialize, Serialize};

use crate::Text;
use crate::knowledge::EditionGroup;

/// One fact, with where it comes from; or why it is not known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fact<T> {
    /// Observed, or told by people.
    Known {
        /// What.
        value: T,
        /// File, interface or person: `/sys/class/dmi/id/bios_date`, `typed by almacén`.
        source: String,
        /// UTC milliseconds, by the observer's clock.
        observed_at_ms: i64,
    },
    /// Not known, which says nothing about the machine.
    Unknown {
        /// The kind of reason.
        reason: WhyUnknown,
        /// What exactly, as the collector put it; may be empty.
        detail: String,
    },
}

impl<T> Fact<T> {
    /// A known fact.
    pub fn known(value: T, source: impl Into<String>, observed_at_ms: i64) -> Self {
        Self::Known {
            value,
            source: source.into(),
            observed_at_ms,
        }
    }

    /// An unknown one.
    pub fn unknown(reason: WhyUnknown, detail: impl Into<String>) -> Self {
        Self::Unknown {
            reason,
            detail: detail.into(),
        }
    }

    /// The value, when known.
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Known { value, .. } => Some(value),
            Self::Unknown { .. } => None,
        }
    }

    /// Why it is unknown, in words; empty when known.
    pub(super) fn why(&self) -> Text {
        match self {
            Self::Known { .. } => Text::default(),
            Self::Unknown { reason, detail } => {
                let mut why = reason.name();
                // What a machine says of itself is quoted, and not at any length.
                let detail: String = detail
                    .chars()
                    .filter(|ch| !ch.is_control())
                    .take(200)
                    .collect();
                if !detail.is_empty() {
                    why.es.push_str(&format!(": {detail}"));
                    why.en.push_str(&format!(": {detail}"));
                }
                why
            }
        }
    }
}

impl<T> Default for Fact<T> {
    fn default() -> Self {
        Self::unknown(WhyUnknown::NotCollected, "")
    }
}

/// Why a fact is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhyUnknown {
    /// No collector has reported it.
    NotCollected,
    /// The collector may not read it.
    NotPermitted,
    /// The machine does not offer it (no SMBIOS).
    NotAvailable,
    /// It was read and made no sense.
    Unreadable,
    /// The collector cannot do this on this system yet.
    NotSupported,
    /// Nobody has typed it.
    NotRecorded,
}

impl WhyUnknown {
    /// In words, to follow "because" or stand in brackets.
    pub fn name(self) -> Text {
        match self {
            Self::NotCollected => Text::new(
                "el agente no lo ha informado",
                "the agent has not reported it",
            ),
            Self::NotPermitted => Text::new(
                "el agente no tiene permiso para leerlo",
                "the agent may not read it",
            ),
            Self::NotAvailable => {
                Text::new("el equipo no lo ofrece", "the machine does not offer it")
            }
            Self::Unreadable => Text::new(
                "se leyó y no se pudo entender",
                "it was read and could not be understood",
            ),
            Self::NotSupported => Text::new(
                "el agente aún no lo lee en este sistema",
                "the agent does not read it on this system yet",
            ),
            Self::NotRecorded => Text::new("nadie lo ha registrado", "nobody has recorded it"),
        }
    }
}

/// What the system disk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiskKind {
    /// Spinning.
    Hdd,
    /// Flash behind SATA or SAS.
    Ssd,
    /// Flash behind PCI Express.
    Nvme,
    /// Soldered flash or a card.
    Emmc,
    /// Presented by a hypervisor; what is behind it cannot be seen from inside.
    Virtual,
}

impl DiskKind {
    /// The stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hdd => "hdd",
            Self::Ssd => "ssd",
            Self::Nvme => "nvme",
            Self::Emmc => "emmc",
            Self::Virtual => "virtual",
        }
    }
}

/// An operating system as it names itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatingSystem {
    /// `windows`, `windows-server`, `macos`, or the `ID` of os-release; see the knowledge table.
    pub system: String,
    /// Version as reported (`VERSION_ID`); may be empty.
    pub release: String,
    /// Windows build (22631).
    pub build: Option<u32>,
    /// Windows `EditionID` (`Professional`, `EnterpriseS`).
    pub edition: Option<String>,
    /// The name for people, as reported.
    pub name: String,
}

impl OperatingSystem {
    /// From the fields of os-release. CentOS Stream and LMDE share their `ID` with systems of other dates and are told
    /// apart by `NAME`.
    pub fn from_os_release(id: &str, version_id: &str, name: &str, pretty_name: &str) -> Self {
        let system = match id {
            "centos" if name.contains("Stream") => "centos-stream",
            "linuxmint" if name.contains("LMDE") || pretty_name.starts_with("LMDE") => "lmde",
            other => other,
        };
        Self {
            system: system.to_owned(),
            release: version_id.to_owned(),
            build: None,
            edition: None,
            name: if pretty_name.is_empty() {
                name
            } else {
                pretty_name
            }
            .to_owned(),
        }
    }

    /// From the registry's `CurrentVersion` key: `ProductName`, the build, `EditionID`, `InstallationType` (`Client`,
    /// `Server`, `Server Core`). Pass empty texts for what is not there.
    pub fn from_windows(
        product_name: &str,
        build: Option<u32>,
        edition_id: &str,
        installation_type: &str,
    ) -> Self {
        let server = installation_type.starts_with("Server")
            || edition_id.starts_with("Server")
            || (installation_type.is_empty() && product_name.contains("Server"));
        Self {
            system: if server { "windows-server" } else { "windows" }.to_owned(),
            release: String::new(),
            build,
            edition: (!edition_id.is_empty()).then(|| edition_id.to_owned()),
            name: product_name.to_owned(),
        }
    }

    /// Which editions' dates apply. `None`: the edition is not known, or not one we know.
    pub(crate) fn edition_group(&self) -> Option<EditionGroup> {
        let edition = self.edition.as_deref()?;
        match self.system.as_str() {
            "windows" => client_edition(edition),
            "windows-server" if edition.ends_with("ACor") => Some(EditionGroup::ServerAnnual),
            "windows-server" if edition.starts_with("Server") => Some(EditionGroup::Any),
            _ => None,
        }
    }
}

fn client_edition(edition: &str) -> Option<EditionGroup> {
    Some(match edition {
        "Core"
        | "CoreN"
        | "CoreSingleLanguage"
        | "CoreCountrySpecific"
        | "Professional"
        | "ProfessionalN"
        | "ProfessionalEducation"
        | "ProfessionalEducationN"
        | "ProfessionalWorkstation"
        | "ProfessionalWorkstationN"
        | "ProfessionalSingleLanguage"
        | "ProfessionalCountrySpecific" => EditionGroup::HomePro,
        "Enterprise" | "EnterpriseN" | "Education" | "EducationN" | "IoTEnterprise"
        | "ServerRdsh" => EditionGroup::Enterprise,
        "EnterpriseS" | "EnterpriseSN" => EditionGroup::Ltsc,
        "IoTEnterpriseS" | "IoTEnterpriseSK" => EditionGroup::IotLtsc,
        _ => return None,
    })
}

/// Everything the rules ask about one machine. What is not filled in is unknown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeviceFacts {
    /// Whether the machine is a guest of a hypervisor.
    pub virtual_machine: Fact<bool>,
    /// Day of purchase, typed by people from the invoice or the store's records: `YYYY-MM-DD`.
    pub purchase_date: Fact<String>,
    /// The firmware's build date as it gives it: `MM/DD/YYYY` (SMBIOS), or `YYYY-MM-DD`.
    pub firmware_date: Fact<String>,
    /// Bytes of each memory module that is plugged in; empty slots left out.
    pub memory_modules_bytes: Fact<Vec<u64>>,
    /// Memory the system sees, bytes (`MemTotal`).
    pub memory_visible_bytes: Fact<u64>,
    /// What the disk with the system on it is.
    pub system_disk: Fact<DiskKind>,
    /// The running operating system.
    pub operating_system: Fact<OperatingSystem>,
}

impl Default for DeviceFacts {
    fn default() -> Self {
        Self {
            virtual_machine: Fact::default(),
            purchase_date: Fact::unknown(WhyUnknown::NotRecorded, ""),
            firmware_date: Fact::default(),
            memory_modules_bytes: Fact::default(),
            memory_visible_bytes: Fact::default(),
            system_disk: Fact::default(),
            operating_system: Fact::default(),
        }
    }
}
