//! Installed memory: below 4 GiB fails (no current desktop system runs well), below 8 GiB is watched.
//!
//! The modules' sum is what was bought and decides. Visible memory is less: firmware and graphics keep a part, so that a
//! machine of 4 GB shows 3.9 GiB or, with integrated graphics, 3.5. Without modules the visible memory is therefore
//! compared with the limits less one eighth. Modules that add up to less than what the system sees were not all read.

use super::{Criterion, CriterionId, DeviceFacts, Rule, Verdict};
use crate::Text;

const GIB: u64 = 1 << 30;
const FAILS_BELOW: u64 = 4 * GIB;
const WATCH_BELOW: u64 = 8 * GIB;
/// What may be kept from the system: one eighth.
const KEPT: u64 = 8;
/// More is no memory but a misread number.
const MOST: u64 = 64 << 40;

pub(super) fn assess(facts: &DeviceFacts) -> Criterion {
    let modules = facts.memory_modules_bytes.value();
    let sum = modules.map(|modules| {
        modules
            .iter()
            .fold(0u64, |sum, &bytes| sum.saturating_add(bytes))
    });
    let visible = facts.memory_visible_bytes.value().copied();
    let plausible = |bytes: &u64| (1..=MOST).contains(bytes);
    match (sum.filter(plausible), visible.filter(plausible)) {
        (Some(sum), Some(visible)) if sum < visible => by_visible(facts, visible, Some(sum)),
        (Some(sum), visible) => by_modules(facts, sum, visible),
        (None, Some(visible)) => by_visible(facts, visible, None),
        (None, None) => unknown(facts, sum, visible),
    }
}

fn by_modules(facts: &DeviceFacts, sum: u64, visible: Option<u64>) -> Criterion {
    let mut rule = Rule::new(CriterionId::Memory, "memory.modules", 1);
    gather(&mut rule, facts, Some(sum), visible);
    let count = facts.memory_modules_bytes.value().map_or(0, Vec::len);
    let (verdict, said) = judge(sum, FAILS_BELOW, WATCH_BELOW);
    let size = gib(sum);
    let (es, en) = if count == 1 {
        ("un módulo", "one module")
    } else {
        ("módulos", "modules")
    };
    let (es, en) = if count == 1 {
        (es.to_owned(), en.to_owned())
    } else {
        (format!("{count} {es}"), format!("{count} {en}"))
    };
    rule.verdict(
        verdict,
        format!("{} instalados en {es}: {}.", size.es, said.es),
        format!("{} installed in {en}: {}.", size.en, said.en),
    )
}

fn by_visible(facts: &DeviceFacts, visible: u64, incomplete: Option<u64>) -> Criterion {
    let mut rule = Rule::new(CriterionId::Memory, "memory.visible", 1);
    gather(&mut rule, facts, incomplete, Some(visible));
    let (verdict, said) = judge(
        visible,
        FAILS_BELOW - FAILS_BELOW / KEPT,
        WATCH_BELOW - WATCH_BELOW / KEPT,
    );
    let size = gib(visible);
    let why = match incomplete {
        Some(_) => Text::new(
            "los módulos leídos suman menos de lo visible",
            "the modules that were read add up to less",
        ),
        None => match facts.memory_modules_bytes.value() {
            Some(_) => Text::new(
                "la suma de los módulos no es creíble",
                "the modules' sum is not credible",
            ),
            None => {
                let why = facts.memory_modules_bytes.why();
                Text::new(
                    format!("módulos: {}", why.es),
                    format!("modules: {}", why.en),
                )
            }
        },
    };
    rule.verdict(
        verdict,
        format!(
            "{} visibles para el sistema ({}; el firmware y los gráficos pueden guardarse hasta un octavo): {}.",
            size.es, why.es, said.es
        ),
        format!(
            "{} visible to the system ({}; firmware and graphics may keep up to one eighth): {}.",
            size.en, why.en, said.en
        ),
    )
}

fn unknown(facts: &DeviceFacts, sum: Option<u64>, visible: Option<u64>) -> Criterion {
    let mut rule = Rule::new(CriterionId::Memory, "memory.unknown", 1);
    gather(&mut rule, facts, sum, visible);
    let reason = |given: Option<u64>, why: Text| {
        if given.is_some() {
            Text::new("el valor no es creíble", "the value is not credible")
        } else {
            why
        }
    };
    let modules = reason(sum, facts.memory_modules_bytes.why());
    let visible = reason(visible, facts.memory_visible_bytes.why());
    rule.unknown(&Text::new(
        format!(
            "Memoria desconocida. Módulos: {}. Memoria visible: {}.",
            modules.es, visible.es
        ),
        format!(
            "Memory unknown. Modules: {}. Visible memory: {}.",
            modules.en, visible.en
        ),
    ))
}

fn gather(rule: &mut Rule, facts: &DeviceFacts, sum: Option<u64>, visible: Option<u64>) {
    if let Some(sum) = sum {
        let count = facts.memory_modules_bytes.value().map_or(0, Vec::len);
        rule.observed(
            "memory.modules",
            sum.to_string(),
            "bytes",
            &facts.memory_modules_bytes,
        );
        rule.observed(
            "memory.module_count",
            count.to_string(),
            "modules",
            &facts.memory_modules_bytes,
        );
    }
    if let Some(visible) = visible {
        rule.observed(
            "memory.visible",
            visible.to_string(),
            "bytes",
            &facts.memory_visible_bytes,
        );
    }
}

fn judge(bytes: u64, fails_below: u64, watch_below: u64) -> (Verdict, Text) {
    if bytes < fails_below {
        (
            Verdict::Fails,
            Text::new("menos del mínimo de 4 GiB", "below the minimum of 4 GiB"),
        )
    } else if bytes < watch_below {
        (
            Verdict::Watch,
            Text::new(
                "menos de los 8 GiB recomendados",
                "below the recommended 8 GiB",
            ),
        )
    } else {
        (
            Verdict::Ok,
            Text::new(
                "alcanza los 8 GiB recomendados",
                "reaches the recommended 8 GiB",
            ),
        )
    }
}

/// Bytes as GiB with one decimal, cut, never rounded up to a limit it does not reach.
fn gib(bytes: u64) -> Text {
    let (whole, tenth) = (bytes / GIB, bytes % GIB * 10 / GIB);
    Text::new(
        format!("{whole},{tenth} GiB"),
        format!("{whole}.{tenth} GiB"),
    )
}
