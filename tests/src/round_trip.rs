//! What of an inventory in GLPI's official format must come out again as facts, and where. Two tables, [`KEPT`] and
//! [`LOST`], hold every field of the official schema for computers, each in one of them alone. Pure: it asks nobody.

mod tables;
mod turns;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use tables::{ADDRESSES, KEPT, LEGACY, LOST};
use turns::plain;

type Object = Map<String, Value>;
/// What a value becomes; nothing where it says nothing.
type Turn = fn(&Value) -> Option<Value>;

/// Fields of one section that come out in one place.
#[derive(Debug)]
struct Kept {
    section: &'static str,
    /// Path of a list (`devices.pci`) of which one item has all of them; of a section (`hardware`) that has them itself.
    base: &'static str,
    /// Of which items, looking at the whole inventory.
    of: fn(&Object, &Object) -> bool,
    /// The protocol's field, ours below the base, what becomes of the value.
    fields: &'static [(&'static str, &'static str, Turn)],
}

/// Where a field of the schema stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It comes out as a fact.
    Kept,
    /// It does not, and there is a reason.
    Lost,
    /// Nobody thought of it.
    Nowhere,
    /// In both tables.
    Both,
}

/// Where `section.field` stands.
pub fn place(section: &str, field: &str) -> Place {
    let kept = section == "networks" && ADDRESSES.contains(&field)
        || KEPT.iter().any(|kept| {
            kept.section == section && kept.fields.iter().any(|(name, ..)| *name == field)
        });
    let lost = LOST.iter().chain(LEGACY).any(|(of, fields, _)| {
        *of == section && fields.iter().any(|name| *name == field || *name == "*")
    });
    match (kept, lost) {
        (true, true) => Place::Both,
        (true, false) => Place::Kept,
        (false, true) => Place::Lost,
        (false, false) => Place::Nowhere,
    }
}

/// Every field that [`KEPT`] names: a document of our own has each of them.
pub fn kept_fields() -> BTreeSet<(&'static str, &'static str)> {
    let named = KEPT
        .iter()
        .flat_map(|kept| kept.fields.iter().map(|(name, ..)| (kept.section, *name)));
    named
        .chain(ADDRESSES.iter().map(|name| ("networks", *name)))
        .collect()
}

/// What came of a document.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Fields that went in and did not come out as they should, or that stand in no table.
    pub wrong: Vec<String>,
    /// Fields that came out.
    pub out: BTreeSet<(String, String)>,
    /// Values compared.
    pub compared: usize,
}

/// Holds an inventory's content against the facts that are shown: sections by name, and `volatile`.
pub fn check(content: &Object, shown: &Value) -> Outcome {
    let mut outcome = Outcome::default();
    for (section, value) in content {
        let items: Vec<&Object> = match value {
            Value::Array(list) => list.iter().filter_map(Value::as_object).collect(),
            Value::Object(one) => vec![one],
            _ => Vec::new(),
        };
        for item in items {
            item_out(section, item, content, shown, &mut outcome);
        }
    }
    addresses(content, shown, &mut outcome);
    outcome
}

fn item_out(section: &str, item: &Object, content: &Object, shown: &Value, outcome: &mut Outcome) {
    for field in names(item) {
        match place(section, &field) {
            Place::Nowhere => outcome
                .wrong
                .push(format!("{section}.{field} stands in no table")),
            Place::Both => outcome
                .wrong
                .push(format!("{section}.{field} stands in both tables")),
            Place::Kept | Place::Lost => {}
        }
    }
    // All fields that come out in one place do so in one item of it.
    let mut wanted: BTreeMap<&str, Vec<(&str, &str, Value)>> = BTreeMap::new();
    for kept in KEPT {
        if kept.section != section || !(kept.of)(item, content) {
            continue;
        }
        for (field, sub, turn) in kept.fields {
            if let Some(value) = at(item, field).and_then(turn) {
                wanted
                    .entry(kept.base)
                    .or_default()
                    .push((field, sub, value));
            }
        }
    }
    for (base, fields) in wanted {
        outcome.compared += fields.len();
        let candidates = walk(shown, base);
        let missing = |candidate: &&Value| {
            let differs = fields
                .iter()
                .filter(|(_, sub, value)| candidate.get(sub) != Some(value));
            differs.collect::<Vec<_>>()
        };
        let best = candidates
            .iter()
            .min_by_key(|candidate| missing(candidate).len());
        let left = best.map_or_else(|| fields.iter().collect(), missing);
        for (field, sub, value) in &left {
            let there = best.and_then(|best| best.get(sub));
            outcome.wrong.push(format!(
                "{section}.{field}: {value} is not {base}.{sub}, where {} is",
                there.map_or("nothing".to_owned(), ToString::to_string)
            ));
        }
        for (field, ..) in fields.iter().filter(|it| !left.contains(it)) {
            outcome
                .out
                .insert((section.to_owned(), (*field).to_owned()));
        }
    }
}

/// Names of an object's fields, with those below as `timezone.name`.
fn names(item: &Object) -> Vec<String> {
    let mut names = Vec::new();
    for (name, value) in item {
        match value {
            Value::Object(inner) if name == "timezone" => {
                names.extend(inner.keys().map(|inner| format!("{name}.{inner}")));
            }
            _ => names.push(name.clone()),
        }
    }
    names
}

fn at<'a>(item: &'a Object, field: &str) -> Option<&'a Value> {
    match field.split_once('.') {
        Some((outer, inner)) => item.get(outer)?.get(inner),
        None => item.get(field),
    }
}

/// The items below a path: of a list each, of an object itself.
fn walk<'a>(shown: &'a Value, path: &str) -> Vec<&'a Value> {
    let mut found = vec![shown];
    for name in path.split('.') {
        let name = name.trim_end_matches("[]");
        found = found
            .into_iter()
            .filter_map(|value| value.get(name))
            .flat_map(|value| match value {
                Value::Array(list) => list.iter().collect(),
                one => vec![one],
            })
            .collect();
    }
    found
}

/// Each address stands at its interface, with the width that its mask says.
fn addresses(content: &Object, shown: &Value, outcome: &mut Outcome) {
    let list = content.get("networks").and_then(Value::as_array);
    for item in list.into_iter().flatten().filter_map(Value::as_object) {
        let text = |name: &str| item.get(name).map(plain).unwrap_or_default();
        for (address, mask) in [("ipaddress", "ipmask"), ("ipaddress6", "ipmask6")] {
            if text(address).is_empty() {
                continue;
            }
            let wanted = match width(&text(mask)) {
                Some(width) => format!("{}/{width}", text(address)),
                None => text(address),
            };
            outcome.compared += 1;
            let there = walk(shown, "network.interfaces").into_iter().any(|it| {
                let addresses = it["addresses"].as_array();
                it["name"] == json!(text("description"))
                    && addresses.is_some_and(|all| all.contains(&json!(wanted)))
            });
            if there {
                outcome
                    .out
                    .insert(("networks".to_owned(), address.to_owned()));
                if wanted.contains('/') {
                    outcome.out.insert(("networks".to_owned(), mask.to_owned()));
                }
            } else {
                let name = text("description");
                outcome
                    .wrong
                    .push(format!("networks.{address}: {wanted} is not at {name}"));
            }
        }
    }
}

/// Number of ones of a mask that has no holes.
fn width(mask: &str) -> Option<u32> {
    let bytes = match mask.parse::<std::net::IpAddr>().ok()? {
        std::net::IpAddr::V4(four) => four.octets().to_vec(),
        std::net::IpAddr::V6(six) => six.octets().to_vec(),
    };
    let bits: String = bytes.iter().map(|byte| format!("{byte:08b}")).collect();
    let ones = bits.trim_end_matches('0');
    (!ones.contains('0')).then(|| u32::try_from(ones.len()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn went_in() -> Object {
        let content = json!({
            "bios": {"ssn": "7XK2P13", "smodel": "Latitude"},
            "memories": [
                {"capacity": 4096, "numslots": 1, "serialnumber": "A1"},
                {"capacity": 8192, "numslots": 2, "serialnumber": "0000"},
            ],
            "networks": [{"description": "eth0", "ipaddress": "192.0.2.4", "ipmask": "255.255.255.0"}],
        });
        content.as_object().unwrap().clone()
    }

    fn came_out() -> Value {
        json!({
            "identity": {"system_serial": "7XK2P13"},
            "hardware": {"model": "Latitude"},
            "memory": {"modules": [
                {"slot": "1", "size_bytes": 4_294_967_296_u64, "serial": "A1"},
                {"slot": "2", "size_bytes": 8_589_934_592_u64},
            ]},
            "network": {"interfaces": [{"name": "eth0", "addresses": ["192.0.2.4/24"]}]},
        })
    }

    #[test]
    fn what_came_out_as_it_went_in_is_right() {
        let outcome = check(&went_in(), &came_out());
        assert!(outcome.wrong.is_empty(), "{:?}", outcome.wrong);
        assert_eq!(outcome.compared, 9);
        assert!(
            outcome
                .out
                .contains(&("bios".to_owned(), "smodel".to_owned()))
        );
        // A filler is no serial number: nothing of it is asked for, nor counted as kept.
        let mut alone = went_in();
        alone["memories"].as_array_mut().unwrap().remove(0);
        let outcome = check(&alone, &came_out());
        let serial = ("memories".to_owned(), "serialnumber".to_owned());
        assert!(outcome.wrong.is_empty() && !outcome.out.contains(&serial));
    }

    #[test]
    fn what_was_lost_altered_or_mixed_up_is_found() {
        type Change = fn(&mut Value);
        let wrong = |change: Change| {
            let mut shown = came_out();
            change(&mut shown);
            check(&went_in(), &shown).wrong
        };
        let cases: [(Change, &str); 6] = [
            (|it| it["hardware"] = json!({}), "bios.smodel"),
            (
                |it| it["identity"]["system_serial"] = "7XK2P14".into(),
                "bios.ssn",
            ),
            (|it| it["identity"] = Value::Null, "bios.ssn"),
            (
                |it| it["memory"]["modules"][0]["size_bytes"] = 1.into(),
                "memories.capacity",
            ),
            (
                |it| it["network"]["interfaces"][0]["name"] = "eth1".into(),
                "networks.description",
            ),
            (
                |it| it["network"]["interfaces"][0]["addresses"] = json!(["192.0.2.4/8"]),
                "networks.ipaddress",
            ),
        ];
        for (change, wanted) in cases {
            let wrong = wrong(change);
            assert!(
                wrong.iter().any(|line| line.starts_with(wanted)),
                "{wanted}: {wrong:?}"
            );
        }
        // Each value is there, but not in one module.
        let mixed = wrong(|it| {
            it["memory"]["modules"][0]["slot"] = "2".into();
            it["memory"]["modules"][1]["slot"] = "1".into();
        });
        assert!(!mixed.is_empty());
    }

    #[test]
    fn a_field_that_stands_in_no_table_is_found() {
        let mut content = went_in();
        content["bios"]["colour"] = "black".into();
        let wrong = check(&content, &came_out()).wrong;
        assert_eq!(wrong, ["bios.colour stands in no table"]);
    }

    #[test]
    fn no_field_stands_in_both_tables() {
        for (section, field) in kept_fields() {
            assert_eq!(place(section, field), Place::Kept, "{section}.{field}");
        }
    }
}
