//! What two devices show: each fact equal, different or not known.

use std::collections::BTreeSet;

use super::super::{Machine, SEEN_GRACE_MS, identifies, placeholder};
use crate::search::fold;

/// One fact on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fact {
    Equal,
    Differs,
    Unknown,
}
use Fact::{Differs, Equal, Unknown};

pub(super) struct Facts {
    pub(super) uuid: Fact,
    /// System or chassis.
    pub(super) serial: Fact,
    pub(super) board: Fact,
    pub(super) disks: Fact,
    pub(super) nics: Fact,
    pub(super) borrowed_nic: bool,
    pub(super) image: Fact,
    pub(super) host: Fact,
    pub(super) model: Fact,
    pub(super) is_virtual: Fact,
    pub(super) any_virtual: bool,
    pub(super) at_once: bool,
    pub(super) in_turns: bool,
}

/// What two devices show, each fact on both sides.
pub(super) fn gather(new: &Machine, known: &Machine) -> Facts {
    let uuids = (
        new.smbios_uuid.as_deref().and_then(placeholder::uuid),
        known.smbios_uuid.as_deref().and_then(placeholder::uuid),
    );
    let uuid = match &uuids {
        (Some(one), Some(two)) if one != two && placeholder::swapped(one).as_ref() == Some(two) => {
            Equal
        }
        (one, two) => texts(one.as_ref(), two.as_ref()),
    };
    let serial = |text: &Option<String>| text.as_deref().and_then(placeholder::serial);
    let (system, chassis) = (
        (serial(&new.system_serial), serial(&known.system_serial)),
        (serial(&new.chassis_serial), serial(&known.chassis_serial)),
    );
    let crossed = |one: &Option<String>, two: &Option<String>| one.is_some() && one == two;
    let serial_fact = match (
        texts(system.0.as_ref(), system.1.as_ref()),
        texts(chassis.0.as_ref(), chassis.1.as_ref()),
    ) {
        (Equal, _) | (_, Equal) => Equal,
        _ if crossed(&system.0, &chassis.1) || crossed(&chassis.0, &system.1) => Equal,
        (Differs, _) | (_, Differs) => Differs,
        (Unknown, Unknown) => Unknown,
    };
    let disks = |machine: &Machine| -> BTreeSet<String> {
        machine
            .disk_serials
            .iter()
            .filter_map(|text| placeholder::serial(text))
            .collect()
    };
    let macs = |machine: &Machine, wanted: bool| -> BTreeSet<String> {
        let of = machine
            .addresses
            .iter()
            .filter(|address| identifies(address) == wanted);
        of.map(|address| address.mac.to_lowercase()).collect()
    };
    let hosts = (fold(&new.host_name), fold(&known.host_name));
    let models = (
        new.model.as_deref().map(fold),
        known.model.as_deref().map(fold),
    );
    let (earlier, later) = if new.enrolled_at_ms < known.enrolled_at_ms {
        (new, known)
    } else {
        (known, new)
    };
    let after = later.enrolled_at_ms.saturating_add(SEEN_GRACE_MS);
    Facts {
        uuid,
        serial: serial_fact,
        board: texts(
            serial(&new.board_serial).as_ref(),
            serial(&known.board_serial).as_ref(),
        ),
        disks: sets(&disks(new), &disks(known)),
        nics: sets(&macs(new, true), &macs(known, true)),
        borrowed_nic: !macs(new, false).is_disjoint(&macs(known, false)),
        image: texts(new.machine_id.as_ref(), known.machine_id.as_ref()),
        host: texts(
            Some(&hosts.0).filter(|text| !text.is_empty()),
            Some(&hosts.1).filter(|text| !text.is_empty()),
        ),
        model: texts(models.0.as_ref(), models.1.as_ref()),
        is_virtual: texts(new.is_virtual.as_ref(), known.is_virtual.as_ref()),
        any_virtual: new.is_virtual == Some(true) || known.is_virtual == Some(true),
        at_once: new.connected && known.connected,
        in_turns: earlier.last_seen_at_ms.is_some_and(|seen| seen > after)
            || (earlier.connected && !later.connected),
    }
}

fn texts<T: PartialEq>(one: Option<&T>, two: Option<&T>) -> Fact {
    match (one, two) {
        (Some(one), Some(two)) if one == two => Equal,
        (Some(_), Some(_)) => Differs,
        _ => Unknown,
    }
}

/// Sets with something in common are equal: a part more or less makes no other machine.
fn sets(one: &BTreeSet<String>, two: &BTreeSet<String>) -> Fact {
    if one.is_empty() || two.is_empty() {
        Unknown
    } else if one.is_disjoint(two) {
        Differs
    } else {
        Equal
    }
}
