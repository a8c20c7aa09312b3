//! The neutral form of facts: every kind has one, every field has a name in both languages.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::collections::BTreeSet;

use chasqui_base::text::Lang;
use chasqui_proto::facts::{self, words};
use chasqui_proto::v1::{self, SectionKind};
use prost_reflect::{Kind, MessageDescriptor};

fn fields(of: &MessageDescriptor, names: &mut BTreeSet<String>) {
    for field in of.fields() {
        names.insert(field.name().to_owned());
        if let Kind::Message(inner) = field.kind() {
            fields(&inner, names);
        }
    }
}

#[test]
fn every_field_of_the_facts_has_a_name_in_both_languages() {
    let mut names = BTreeSet::new();
    for field in facts::descriptor("SectionFacts").unwrap().fields() {
        if field.containing_oneof().is_some()
            && let Kind::Message(section) = field.kind()
        {
            fields(&section, &mut names);
        }
    }
    fields(&facts::descriptor("VolatileFacts").unwrap(), &mut names);
    let nameless: Vec<_> = names
        .iter()
        .filter(|name| !words::has_field(name))
        .collect();
    assert_eq!(nameless, Vec::<&String>::new());
    assert_eq!(words::field("system_serial", Lang::Es), "serie del equipo");
}

#[test]
fn kinds_names_and_facts_agree_with_the_api() {
    let known: BTreeSet<i32> = facts::KINDS.iter().map(|kind| *kind as i32).collect();
    let declared = facts::descriptor("SectionFacts").unwrap();
    let pool = declared.parent_pool();
    let numbers: BTreeSet<i32> = pool
        .get_enum_by_name("chasqui.v1.SectionKind")
        .unwrap()
        .values()
        .map(|value| value.number())
        .filter(|number| *number != 0)
        .collect();
    assert_eq!(known, numbers);
    for kind in facts::KINDS {
        let name = facts::kind_name(kind);
        assert_eq!(
            kind.as_str_name(),
            format!("SECTION_KIND_{}", name.to_uppercase())
        );
        assert_eq!(facts::kind_of_name(name), Some(kind));
        assert!(declared.get_field_by_name(name).is_some(), "{name}");
    }
}

#[test]
fn what_was_not_observed_is_missing_and_lists_are_there() {
    let section = v1::SectionFacts {
        facts: Some(v1::section_facts::Facts::Disks(v1::DisksFacts {
            disks: vec![v1::Disk {
                name: "sda".to_owned(),
                kind: v1::DiskKind::Ssd.into(),
                removable: Some(false),
                ..v1::Disk::default()
            }],
            file_systems: Vec::new(),
        })),
        unread: Vec::new(),
    };
    assert_eq!(
        facts::facts_json(&section),
        serde_json::json!({
            "disks": [{"name": "sda", "kind": "ssd", "removable": false}],
            "file_systems": [],
        })
    );
    assert_eq!(
        facts::facts_json(&v1::SectionFacts::default()),
        serde_json::Value::Null
    );
    assert_eq!(facts::kind_of_name("unspecified"), None::<SectionKind>);
}
