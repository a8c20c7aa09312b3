//! Whether a device that enrolled is a machine known before: re-imaged, its board replaced, or another machine that looks
//! like it. A function of what both showed, of when they were seen, and of `now`; it explains itself and decides nothing:
//! even `Same` is a proposal, since a clone can copy everything but being in two places at once.
//!
//! What identifies, strongest first: SMBIOS UUID with a serial number, a serial number with the model, fixed disks, the
//! addresses of built-in network hardware. What never does: placeholders, virtual and borrowed adapters (docks, USB, VPN),
//! a host name, an operating system's id (an image carries it to many machines).

mod address;
mod pair;
mod placeholder;

use std::collections::BTreeMap;

use crate::Text;

pub use address::{Address, identifies};
pub use pair::{Comparison, Finding, compare};
pub use placeholder::{serial, uuid};

/// How long after another device enrolled a machine may still be marked as seen, though it was silent before: times of
/// last sight are written every few minutes.
pub const SEEN_GRACE_MS: i64 = 15 * 60 * 1_000;

/// What is known of a device. Nothing and empty mean not observed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// Device id.
    pub id: String,
    /// As it calls itself.
    pub host_name: String,
    /// SMBIOS UUID.
    pub smbios_uuid: Option<String>,
    /// Serial number of the system.
    pub system_serial: Option<String>,
    /// Serial number of the board.
    pub board_serial: Option<String>,
    /// Serial number of the chassis.
    pub chassis_serial: Option<String>,
    /// Serial numbers of fixed disks; not of removable or USB ones.
    pub disk_serials: Vec<String>,
    /// Network addresses.
    pub addresses: Vec<Address>,
    /// Digest of the operating system's id.
    pub machine_id: Option<String>,
    /// Maker and model.
    pub model: Option<String>,
    /// A virtual machine; nothing when not observed.
    pub is_virtual: Option<bool>,
    /// UTC milliseconds.
    pub enrolled_at_ms: i64,
    /// UTC milliseconds; nothing when never connected.
    pub last_seen_at_ms: Option<i64>,
    /// Its stream is open now.
    pub connected: bool,
}

/// What two devices are to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// Two machines.
    Different,
    /// There is evidence both ways, or too little.
    Ambiguous,
    /// One machine.
    Same,
}

/// What most likely happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Nothing that identifies is shared.
    Unrelated,
    /// The same machine, installed anew.
    Reimaged,
    /// The same machine with another board.
    BoardReplaced,
    /// The same virtual machine, enrolled anew.
    VirtualAgain,
    /// Two machines whose maker wrote one UUID into both.
    ClonedUuid,
    /// Two virtual machines of one image or snapshot.
    VirtualClone,
    /// Two machines installed from one image.
    ClonedImage,
    /// A disk that went into another chassis.
    DiskMoved,
    /// An adapter (dock, USB, card) that both used.
    AdapterShared,
    /// A serial number that two machines carry.
    SerialRepeated,
    /// Both alive at one time.
    AliveAtOnce,
    /// Both alive in turns: two systems on one machine, or two machines.
    AliveInTurns,
    /// Something that identifies is shared and nothing settles it.
    Unclear,
}

impl Kind {
    /// Stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unrelated => "unrelated",
            Self::Reimaged => "reimaged",
            Self::BoardReplaced => "board_replaced",
            Self::VirtualAgain => "virtual_again",
            Self::ClonedUuid => "cloned_uuid",
            Self::VirtualClone => "virtual_clone",
            Self::ClonedImage => "cloned_image",
            Self::DiskMoved => "disk_moved",
            Self::AdapterShared => "adapter_shared",
            Self::SerialRepeated => "serial_repeated",
            Self::AliveAtOnce => "alive_at_once",
            Self::AliveInTurns => "alive_in_turns",
            Self::Unclear => "unclear",
        }
    }

    /// For people.
    pub fn text(self) -> Text {
        match self {
            Self::Unrelated => Text::new("sin relación", "unrelated"),
            Self::Reimaged => Text::new(
                "el mismo equipo, reinstalado",
                "one machine, installed anew",
            ),
            Self::BoardReplaced => Text::new(
                "el mismo equipo con otra tarjeta madre",
                "one machine with another board",
            ),
            Self::VirtualAgain => Text::new(
                "la misma máquina virtual, inscrita de nuevo",
                "one virtual machine, enrolled anew",
            ),
            Self::ClonedUuid => Text::new(
                "dos equipos con un UUID repetido",
                "two machines with a repeated UUID",
            ),
            Self::VirtualClone => Text::new(
                "dos máquinas virtuales de un mismo original",
                "two virtual machines of one original",
            ),
            Self::ClonedImage => Text::new(
                "dos equipos con la misma imagen",
                "two machines with one image",
            ),
            Self::DiskMoved => Text::new(
                "un disco que pasó a otro equipo",
                "a disk that went into another machine",
            ),
            Self::AdapterShared => {
                Text::new("un adaptador que usaron ambos", "an adapter that both used")
            }
            Self::SerialRepeated => Text::new(
                "dos equipos con un serial repetido",
                "two machines with a repeated serial number",
            ),
            Self::AliveAtOnce => Text::new("ambos activos a la vez", "both alive at one time"),
            Self::AliveInTurns => Text::new("activos por turnos", "alive in turns"),
            Self::Unclear => Text::new("no está claro", "not clear"),
        }
    }
}

/// One known device against the one that enrolled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The known device's id.
    pub id: String,
    /// How the two compare.
    pub comparison: Comparison,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No known device is this machine.
    Different {
        /// Why not, for each that shared something.
        candidates: Vec<Candidate>,
    },
    /// It is this one, and no other comes near.
    Same(Candidate),
    /// A person has to look at these, best first.
    Ambiguous {
        /// Those that may be it.
        candidates: Vec<Candidate>,
    },
}

/// Whether a device that just reported its first inventory is one of those known before.
///
/// `known` are devices that share something with it; the device itself among them is passed over.
pub fn decide(new: &Machine, known: &[Machine]) -> Verdict {
    let mut all: Vec<Candidate> = known
        .iter()
        .filter(|one| one.id != new.id)
        .map(|one| Candidate {
            id: one.id.clone(),
            comparison: compare(new, one),
        })
        .collect();
    all.sort_by(|one, two| {
        let rank =
            |candidate: &Candidate| (candidate.comparison.outcome, candidate.comparison.weight());
        rank(two).cmp(&rank(one)).then_with(|| one.id.cmp(&two.id))
    });
    let possible: Vec<Candidate> = all
        .iter()
        .filter(|candidate| candidate.comparison.outcome != Outcome::Different)
        .cloned()
        .collect();
    match possible.as_slice() {
        [] => Verdict::Different { candidates: all },
        [only] if only.comparison.outcome == Outcome::Same => Verdict::Same(only.clone()),
        _ => Verdict::Ambiguous {
            candidates: possible,
        },
    }
}

/// The texts of a machine by which devices are looked up that may be it, placeholders and borrowed adapters left out: kind
/// of search term and text.
pub fn lookups(machine: &Machine) -> Vec<(&'static str, String)> {
    let mut found = BTreeMap::new();
    let mut add = |kind: &'static str, text: Option<String>| {
        if let Some(text) = text {
            found.insert((kind, text), ());
        }
    };
    let serials = [
        &machine.system_serial,
        &machine.board_serial,
        &machine.chassis_serial,
    ];
    let uuid = machine.smbios_uuid.as_deref().and_then(uuid);
    add(
        "smbios_uuid",
        uuid.as_deref().and_then(placeholder::swapped),
    );
    add("smbios_uuid", uuid);
    for (kind, text) in ["system_serial", "board_serial", "chassis_serial"]
        .into_iter()
        .zip(serials)
    {
        add(kind, text.as_deref().and_then(serial));
    }
    // A service desk types the serial number into the field it finds.
    add(
        "chassis_serial",
        machine.system_serial.as_deref().and_then(serial),
    );
    add(
        "system_serial",
        machine.chassis_serial.as_deref().and_then(serial),
    );
    for disk in &machine.disk_serials {
        add("disk_serial", serial(disk));
    }
    for address in machine
        .addresses
        .iter()
        .filter(|address| identifies(address))
    {
        add("mac", Some(address.mac.to_lowercase()));
    }
    found.into_keys().collect()
}

#[cfg(test)]
mod tests;
