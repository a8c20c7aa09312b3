//! Parts that leave a machine or turn up in it: memory modules, disks, monitors, batteries, told by their serial numbers.
//! A part that could not be read has not left, and a machine seen for the first time has nothing to compare with.

use serde_json::Value;

use crate::inventory_change::View;

/// One part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// `memory_module`, `disk`, `monitor`, `battery`.
    pub kind: &'static str,
    /// By what devices are found that have it: `memory_serial`, ...
    pub term: &'static str,
    /// Its serial number.
    pub serial: String,
    /// What people call it.
    pub name: String,
    /// People carry such parts around: a disk on USB, a monitor.
    pub carried: bool,
}

/// Section, list in it, part, term.
const PARTS: &[(&str, &str, &str, &str)] = &[
    ("memory", "modules", "memory_module", "memory_serial"),
    ("disks", "disks", "disk", "disk_serial"),
    ("displays", "displays", "monitor", "monitor_serial"),
    ("batteries", "batteries", "battery", "battery_serial"),
];

/// Whether a section holds parts.
pub fn has_parts(section: &str) -> bool {
    PARTS.iter().any(|(name, ..)| *name == section)
}

/// What happened to the parts of a section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moves {
    /// Parts that are known to be gone.
    pub left: Vec<Part>,
    /// Parts that were not there before. Whether that means something depends on where they were.
    pub came: Vec<Part>,
}

/// Compares two observations of one section.
pub fn moves(section: &str, before: View<'_>, after: View<'_>) -> Moves {
    let Some((_, list, kind, term)) = PARTS.iter().find(|(name, ..)| *name == section) else {
        return Moves::default();
    };
    let (old, new) = (items(before.facts, list), items(after.facts, list));
    let parts = |items: &[Value]| -> Vec<Part> {
        items
            .iter()
            .filter_map(|item| part(item, kind, term))
            .collect()
    };
    let (had, has) = (parts(old), parts(new));
    let not_in = |part: &Part, others: &[Part]| !others.iter().any(|o| o.serial == part.serial);
    let field = format!("{section}.{list}");
    let left = had
        .iter()
        .filter(|part| not_in(part, &has))
        .filter(|part| !unread(&field, &part.name, after.unread) && !nameless(part, new))
        .cloned()
        .collect();
    let came = has
        .iter()
        .filter(|part| not_in(part, &had))
        .filter(|part| !unread(&field, &part.name, before.unread) && !nameless(part, old))
        .cloned()
        .collect();
    Moves { left, came }
}

fn items<'v>(facts: &'v Value, list: &str) -> &'v [Value] {
    facts
        .get(list)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

fn text<'v>(item: &'v Value, field: &str) -> Option<&'v str> {
    item.get(field)
        .and_then(Value::as_str)
        .filter(|text| !text.is_empty())
}

fn part(item: &Value, kind: &'static str, term: &'static str) -> Option<Part> {
    // The serial of a virtual machine's disk names no thing that can be carried off.
    if kind == "disk" && text(item, "kind") == Some("virtual") {
        return None;
    }
    let outside = kind == "disk"
        && (text(item, "bus") == Some("usb")
            || item.get("removable").and_then(Value::as_bool) == Some(true));
    Some(Part {
        kind,
        term,
        serial: text(item, "serial")?.to_owned(),
        name: place(item).unwrap_or_default().to_owned(),
        carried: outside || kind == "monitor",
    })
}

fn place(item: &Value) -> Option<&str> {
    ["slot", "name", "connector", "model"]
        .into_iter()
        .find_map(|field| text(item, field))
}

/// Whether the list, its serials, or anything they come from was not read.
fn unread(field: &str, name: &str, unread: &[String]) -> bool {
    let section = field.split('.').next().unwrap_or_default();
    let serial = format!("{field}.serial");
    let own = format!("{field}.{name}.serial");
    unread.iter().any(|group| {
        let over = |place: &str| {
            place == group
                || place
                    .strip_prefix(group.as_str())
                    .is_some_and(|rest| rest.starts_with('.'))
        };
        over(&serial) || over(&own) || *group == format!("{section}.smbios")
    })
}

/// Whether a thing stands in the part's place whose serial was not observed: it may be the same one.
fn nameless(part: &Part, items: &[Value]) -> bool {
    items
        .iter()
        .any(|item| text(item, "serial").is_none() && place(item) == Some(part.name.as_str()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run(section: &str, a: &Value, b: &Value, unread: &[&str]) -> (Vec<String>, Vec<String>) {
        let unread: Vec<String> = unread.iter().map(|name| (*name).to_owned()).collect();
        let found = moves(
            section,
            View {
                facts: a,
                unread: &[],
            },
            View {
                facts: b,
                unread: &unread,
            },
        );
        let names = |parts: Vec<Part>| {
            let level = |carried| if carried { "low" } else { "high" };
            parts
                .into_iter()
                .map(|part| format!("{} {} {}", part.kind, part.serial, level(part.carried)))
                .collect()
        };
        (names(found.left), names(found.came))
    }

    #[test]
    fn cases() {
        let modules = |list: &[(&str, Option<&str>)]| {
            let list: Vec<Value> = list
                .iter()
                .map(|(slot, serial)| json!({"slot": slot, "serial": serial}))
                .collect();
            json!({"modules": list})
        };
        let two = modules(&[("A1", Some("111")), ("A2", Some("222"))]);
        let none: (Vec<String>, Vec<String>) = (vec![], vec![]);
        let left = |text: &str| (vec![text.to_owned()], vec![]);
        // (what happens, section, before, after, unread after, expected)
        let cases = [
            (
                "nothing",
                "memory",
                two.clone(),
                two.clone(),
                vec![],
                none.clone(),
            ),
            (
                "modules change slots",
                "memory",
                two.clone(),
                modules(&[("A1", Some("222")), ("A2", Some("111"))]),
                vec![],
                none.clone(),
            ),
            (
                "a module leaves",
                "memory",
                two.clone(),
                modules(&[("A1", Some("111"))]),
                vec![],
                left("memory_module 222 high"),
            ),
            (
                "a module is replaced",
                "memory",
                two.clone(),
                modules(&[("A1", Some("111")), ("A2", Some("333"))]),
                vec![],
                (
                    vec!["memory_module 222 high".to_owned()],
                    vec!["memory_module 333 high".to_owned()],
                ),
            ),
            (
                "a serial is not told any more",
                "memory",
                two.clone(),
                modules(&[("A1", Some("111")), ("A2", None)]),
                vec![],
                none.clone(),
            ),
            (
                "the list is not read",
                "memory",
                two.clone(),
                json!({"modules": []}),
                vec!["memory.modules"],
                none.clone(),
            ),
            (
                "SMBIOS is not read",
                "memory",
                two.clone(),
                json!({"modules": []}),
                vec!["memory.smbios"],
                none.clone(),
            ),
            (
                "the section is not read",
                "memory",
                two.clone(),
                Value::Null,
                vec!["memory"],
                none.clone(),
            ),
            (
                "another group is not read",
                "memory",
                two,
                modules(&[("A1", Some("111"))]),
                vec!["memory.swap_bytes"],
                left("memory_module 222 high"),
            ),
            (
                "an internal disk leaves",
                "disks",
                json!({"disks": [{"name": "sda", "serial": "S", "bus": "sata", "kind": "ssd"}]}),
                json!({"disks": []}),
                vec![],
                left("disk S high"),
            ),
            (
                "a USB disk is unplugged",
                "disks",
                json!({"disks": [{"name": "sdb", "serial": "U", "bus": "usb"}]}),
                json!({"disks": []}),
                vec![],
                left("disk U low"),
            ),
            (
                "a virtual disk goes",
                "disks",
                json!({"disks": [{"name": "vda", "serial": "V", "kind": "virtual"}]}),
                json!({"disks": []}),
                vec![],
                none.clone(),
            ),
            (
                "a disk hangs",
                "disks",
                json!({"disks": [{"name": "sda", "serial": "S"}, {"name": "sdb", "serial": "T"}]}),
                json!({"disks": [{"name": "sda", "serial": "S"}]}),
                vec!["disks.disks.sdb"],
                none.clone(),
            ),
            (
                "a monitor goes to another desk",
                "displays",
                json!({"displays": [{"connector": "DP-1", "serial": "M"}]}),
                json!({"displays": []}),
                vec![],
                left("monitor M low"),
            ),
            (
                "a battery leaves",
                "batteries",
                json!({"batteries": [{"name": "BAT0", "serial": "B"}]}),
                json!({"batteries": []}),
                vec![],
                left("battery B high"),
            ),
            (
                "a section without parts",
                "cpu",
                json!({"cpus": [1]}),
                json!({}),
                vec![],
                none,
            ),
        ];
        for (what, section, before, after, unread, expected) in cases {
            assert_eq!(run(section, &before, &after, &unread), expected, "{what}");
        }
    }
}
