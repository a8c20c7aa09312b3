//! The rules over the facts of two devices, in order; the first that fits gives the outcome.

use super::super::{Kind, Outcome};
use super::facts::Fact::{Differs, Equal, Unknown};
use super::facts::Facts;

/// Code and both texts.
pub(super) type Rule = (&'static str, &'static str, &'static str);
pub(super) type Judgement = (Outcome, Kind, Rule);

/// The first rule that fits.
pub(super) fn judge(facts: &Facts) -> Judgement {
    let hardware = if facts.any_virtual {
        virtual_machine(facts)
    } else {
        physical(facts)
    };
    if facts.at_once && hardware.0 != Outcome::Different {
        return (Outcome::Different, Kind::AliveAtOnce, ALIVE_AT_ONCE);
    }
    if facts.in_turns && hardware.0 == Outcome::Same {
        return (Outcome::Ambiguous, Kind::AliveInTurns, ALIVE_IN_TURNS);
    }
    hardware
}

const ALIVE_AT_ONCE: Rule = (
    "rule_alive_at_once",
    "Dos equipos conectados a la vez nunca son uno solo.",
    "Two devices connected at one time are never one machine.",
);
const ALIVE_IN_TURNS: Rule = (
    "rule_alive_in_turns",
    "El equipo anterior se vio después de la inscripción del nuevo: dos sistemas en un mismo equipo, o dos equipos.",
    "The earlier device was seen after the new one enrolled: two systems on one machine, or two machines.",
);

fn virtual_machine(facts: &Facts) -> Judgement {
    use Outcome::{Ambiguous, Different, Same};
    match (facts.is_virtual, facts.uuid, facts.nics) {
        (Differs, ..) => (
            Different,
            Kind::Unrelated,
            (
                "rule_virtual_and_physical",
                "Uno es una máquina virtual y el otro no.",
                "One is a virtual machine and the other is not.",
            ),
        ),
        (_, Differs, _) if related(facts) => (
            Different,
            Kind::VirtualClone,
            (
                "rule_virtual_clone",
                "El hipervisor les dio UUID distintos: son clones, aunque discos, imagen o nombre coincidan.",
                "The hypervisor gave them different UUIDs: clones, though disks, image or name agree.",
            ),
        ),
        // A hypervisor's addresses identify nobody, so what is equal here is a card passed through to the guest.
        (_, Equal, Differs) => (
            Different,
            Kind::VirtualClone,
            (
                "rule_virtual_copied_uuid",
                "El UUID se copió y las tarjetas de red propias son otras.",
                "The UUID was copied, and the network hardware is other.",
            ),
        ),
        (_, Equal, _) if facts.serial != Differs => (
            Same,
            Kind::VirtualAgain,
            (
                "rule_virtual_uuid",
                "El hipervisor da un UUID por máquina virtual; es el mismo y nada lo contradice.",
                "The hypervisor gives one UUID per virtual machine; it is the same and nothing speaks against it.",
            ),
        ),
        (_, Equal, _) => (
            Ambiguous,
            Kind::Unclear,
            (
                "rule_virtual_serial_differs",
                "Mismo UUID de máquina virtual y otro serial: pudo copiarse.",
                "One virtual UUID and another serial number: it may have been copied.",
            ),
        ),
        (_, Unknown, _)
            if [facts.serial, facts.disks, facts.board, facts.nics].contains(&Equal) =>
        {
            (
                Ambiguous,
                Kind::Unclear,
                (
                    "rule_virtual_without_uuid",
                    "Sin UUID no se distingue una máquina virtual de su clon.",
                    "Without a UUID a virtual machine cannot be told from its clone.",
                ),
            )
        }
        _ => unrelated(facts),
    }
}

fn physical(facts: &Facts) -> Judgement {
    use Outcome::{Ambiguous, Different, Same};
    let parts_agree = facts.disks == Equal || facts.nics == Equal;
    let parts_differ = facts.disks == Differs && facts.nics == Differs;
    match (facts.uuid, facts.serial) {
        (Equal, Equal) if facts.model == Differs => (
            Ambiguous,
            Kind::Unclear,
            (
                "rule_identity_other_model",
                "UUID y serial iguales pero otro modelo: alguien los reescribió.",
                "Equal UUID and serial number but another model: somebody rewrote them.",
            ),
        ),
        (Equal, Equal) if parts_differ && facts.board == Differs => (
            Ambiguous,
            Kind::Unclear,
            (
                "rule_identity_other_parts",
                "UUID y serial iguales, y todas las partes distintas: identidad clonada o reparación completa.",
                "Equal UUID and serial number, and every part differs: a cloned identity or a full repair.",
            ),
        ),
        (Equal, Equal) => (
            Same,
            Kind::Reimaged,
            (
                "rule_uuid_and_serial",
                "UUID y serial iguales identifican un equipo físico.",
                "Equal UUID and serial number identify a physical machine.",
            ),
        ),
        (Equal, Differs) if parts_agree => (
            Ambiguous,
            Kind::Unclear,
            (
                "rule_serial_rewritten",
                "Mismo UUID y partes en común, pero otro serial: pudo reescribirse en servicio técnico.",
                "One UUID and shared parts but another serial number: service may have rewritten it.",
            ),
        ),
        (Equal, Differs) => (
            Different,
            Kind::ClonedUuid,
            (
                "rule_cloned_uuid",
                "Un UUID con seriales distintos es un UUID repetido por el fabricante.",
                "One UUID with different serial numbers is a UUID that the maker repeated.",
            ),
        ),
        (Equal, Unknown) if parts_agree || facts.board == Equal => (
            Same,
            Kind::Reimaged,
            (
                "rule_uuid_and_parts",
                "UUID igual y partes fijas en común.",
                "Equal UUID and fixed parts in common.",
            ),
        ),
        (Equal, Unknown)
            if facts.nics == Differs && (facts.disks == Differs || facts.board == Differs) =>
        {
            (
                Different,
                Kind::ClonedUuid,
                (
                    "rule_cloned_uuid_parts",
                    "Un UUID con tarjetas de red y otras partes distintas es un UUID repetido.",
                    "One UUID with other network hardware and other parts is a repeated UUID.",
                ),
            )
        }
        (Equal, Unknown) => (
            Ambiguous,
            Kind::Unclear,
            (
                "rule_uuid_alone",
                "El UUID es igual pero ninguna otra parte lo confirma.",
                "The UUID is equal but no other part confirms it.",
            ),
        ),
        (Differs | Unknown, Equal) if facts.model == Differs => (
            Different,
            Kind::SerialRepeated,
            (
                "rule_serial_other_model",
                "Los fabricantes repiten seriales entre modelos.",
                "Makers repeat serial numbers across models.",
            ),
        ),
        (Differs, Equal) if facts.board == Equal => (
            Same,
            Kind::Reimaged,
            (
                "rule_firmware_rewritten",
                "Serial y tarjeta madre iguales: el UUID cambió con el firmware.",
                "Equal serial number and board: the UUID changed with the firmware.",
            ),
        ),
        (Differs, Equal) if facts.board == Differs && (facts.model == Equal || parts_agree) => (
            Same,
            Kind::BoardReplaced,
            (
                "rule_board_replaced",
                "El serial del equipo es el mismo y la tarjeta madre es otra: la cambiaron.",
                "The machine's serial number is the same and the board is another: it was replaced.",
            ),
        ),
        (Differs, Equal) if parts_agree => (
            Same,
            Kind::BoardReplaced,
            (
                "rule_board_replaced_parts",
                "Serial y partes iguales con otro UUID: cambiaron la tarjeta madre.",
                "Equal serial number and parts with another UUID: the board was replaced.",
            ),
        ),
        (Unknown, Equal) if parts_agree || facts.board == Equal => (
            Same,
            Kind::Reimaged,
            (
                "rule_serial_and_parts",
                "Serial igual y partes en común.",
                "Equal serial number and parts in common.",
            ),
        ),
        (Differs | Unknown, Equal) => (
            Ambiguous,
            Kind::Unclear,
            (
                "rule_serial_alone",
                "Solo el serial coincide; los fabricantes los repiten.",
                "The serial number alone agrees; makers repeat them.",
            ),
        ),
        (_, Differs) if facts.disks == Equal => (
            Different,
            Kind::DiskMoved,
            (
                "rule_disk_moved",
                "Otro chasis con un disco conocido: el disco se trasladó.",
                "Another chassis with a known disk: the disk was moved.",
            ),
        ),
        (_, Differs) => unrelated(facts),
        (Differs | Unknown, Unknown) if facts.disks == Equal => {
            let kept_board = facts.board == Equal || facts.nics == Equal;
            if facts.model == Differs {
                (
                    Different,
                    Kind::DiskMoved,
                    (
                        "rule_disk_moved_model",
                        "Otro modelo con un disco conocido: el disco se trasladó.",
                        "Another model with a known disk: the disk was moved.",
                    ),
                )
            } else if facts.uuid == Unknown && kept_board {
                (
                    Same,
                    Kind::Reimaged,
                    (
                        "rule_parts_alone",
                        "Sin UUID ni serial, pero discos y tarjeta madre o de red son los mismos.",
                        "No UUID or serial number, but the disks and the board or network hardware are the same.",
                    ),
                )
            } else if facts.uuid == Differs
                && facts.model == Equal
                && (facts.host == Equal || facts.nics == Equal)
            {
                (
                    Same,
                    Kind::BoardReplaced,
                    (
                        "rule_board_replaced_disks",
                        "Discos y modelo iguales, mismo nombre o red, otro UUID y sin serial: tarjeta madre nueva.",
                        "Equal disks and model, same name or network hardware, another UUID and no serial number: a new board.",
                    ),
                )
            } else {
                (
                    Ambiguous,
                    Kind::Unclear,
                    (
                        "rule_disk_or_board",
                        "Un disco conocido y sin serial: se cambió la tarjeta madre o se trasladó el disco.",
                        "A known disk and no serial number: the board was replaced or the disk moved.",
                    ),
                )
            }
        }
        (Unknown, Unknown) if facts.board == Equal || facts.nics == Equal => (
            Ambiguous,
            Kind::Unclear,
            (
                "rule_part_alone",
                "Coincide una sola parte fija; falta UUID y serial.",
                "One fixed part agrees; UUID and serial number are missing.",
            ),
        ),
        _ => unrelated(facts),
    }
}

/// Something else than identity is shared.
fn related(facts: &Facts) -> bool {
    facts.image == Equal || facts.disks == Equal || facts.serial == Equal || facts.host == Equal
}

fn unrelated(facts: &Facts) -> Judgement {
    let (kind, rule) = if facts.nics == Equal || facts.borrowed_nic {
        (
            Kind::AdapterShared,
            (
                "rule_adapter",
                "Un adaptador de red que pasa de un equipo a otro no identifica a ninguno.",
                "A network adapter that goes from machine to machine identifies none.",
            ),
        )
    } else if facts.image == Equal {
        (
            Kind::ClonedImage,
            (
                "rule_image",
                "Una imagen lleva su identificador a todos los equipos donde se instala.",
                "An image carries its id to every machine it is installed on.",
            ),
        )
    } else {
        (
            Kind::Unrelated,
            (
                "rule_nothing",
                "Nada de lo que identifica coincide.",
                "Nothing that identifies agrees.",
            ),
        )
    };
    (Outcome::Different, kind, rule)
}
