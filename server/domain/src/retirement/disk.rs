//! What the system disk is. A hard disk as system disk is the commonest reason why a machine feels old, and the cheapest
//! to mend: it is watched, and the class becomes an upgrade. Health is not judged here.

use super::{Criterion, CriterionId, DeviceFacts, DiskKind, Fact, Rule, Verdict};
use crate::Text;

pub(super) fn assess(facts: &DeviceFacts) -> Criterion {
    let mut rule = Rule::new(CriterionId::DiskKind, "disk.kind", 1);
    let kind = match &facts.system_disk {
        Fact::Known { value, .. } => *value,
        unknown @ Fact::Unknown { .. } => {
            let why = unknown.why();
            return rule.unknown(&Text::new(
                format!("Tipo del disco del sistema desconocido: {}.", why.es),
                format!("Kind of the system disk unknown: {}.", why.en),
            ));
        }
    };
    rule.observed(
        "disk.system.kind",
        kind.as_str().into(),
        "",
        &facts.system_disk,
    );
    // Hypervisors present flash as spinning and the other way round; inside, nobody can tell.
    if facts.virtual_machine.value() == Some(&true) && kind != DiskKind::Virtual {
        rule.observed("machine.virtual", "true".into(), "", &facts.virtual_machine);
        return rule.unknown(&Text::new(
            "Es una máquina virtual: lo que su disco dice ser no prueba qué hay detrás.",
            "It is a virtual machine: what its disk claims to be does not prove what is behind it.",
        ));
    }
    match kind {
        DiskKind::Hdd => rule.verdict(
            Verdict::Watch,
            "El sistema está en un disco mecánico (HDD): cambiarlo por uno de estado sólido lo repotencia.",
            "The system is on a hard disk (HDD): a solid-state disk would upgrade it.",
        ),
        DiskKind::Ssd => ok(rule, "estado sólido (SSD)", "solid-state disk (SSD)"),
        DiskKind::Nvme => ok(rule, "estado sólido (NVMe)", "solid-state disk (NVMe)"),
        DiskKind::Emmc => ok(rule, "memoria flash (eMMC)", "flash memory (eMMC)"),
        DiskKind::Virtual => rule.unknown(&Text::new(
            "El disco del sistema es virtual: qué hay detrás no se ve desde dentro.",
            "The system disk is virtual: what is behind it cannot be seen from inside.",
        )),
    }
}

fn ok(rule: Rule, es: &str, en: &str) -> Criterion {
    rule.verdict(
        Verdict::Ok,
        format!("El sistema está en un disco de {es}."),
        format!("The system is on a {en}."),
    )
}
