//! Installation dates apart from the list of programs: what is written is read, whatever the input claims is bounded.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use chasqui_proto::facts::dates::{day_of_text, day_text, decode, encode, sections_json};
use chasqui_proto::v1::section_facts::Facts;
use chasqui_proto::v1::{self, InstalledOn, SectionKind, SoftwareDatesFacts};
use proptest::prelude::*;
use prost::Message;

fn facts(days: Vec<InstalledOn>) -> SoftwareDatesFacts {
    SoftwareDatesFacts {
        software_digest: Vec::new().into(),
        days,
    }
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(dates in proptest::collection::vec(proptest::option::of(-3..4_i32), 0..200)) {
        let days = encode(dates.iter().copied());
        prop_assert!(days.is_sorted_by(|a, b| a.day < b.day));
        prop_assert_eq!(decode(&facts(days), dates.len()), dates);
    }

    /// Any runs at all: an answer of the right length, each program with a day that was told.
    #[test]
    fn any_runs_are_read(
        days in proptest::collection::vec((any::<i32>(), proptest::collection::vec(prop_oneof![0..9_u32, any::<u32>()], 0..9)), 0..9),
        count in 0..50_usize,
    ) {
        let told: Vec<i32> = days.iter().map(|(day, _)| *day).collect();
        let days = days.into_iter().map(|(day, runs)| InstalledOn { day, runs }).collect();
        let dates = decode(&facts(days), count);
        prop_assert_eq!(dates.len(), count);
        prop_assert!(dates.iter().flatten().all(|day| told.contains(day)));
    }

    #[test]
    fn days_are_written_and_read(day in 0..2_932_897_i32) {
        prop_assert_eq!(day_of_text(&day_text(day).unwrap()), Some(day));
    }
}

#[test]
fn days_of_the_calendar() {
    for (day, text) in [
        (0, "1970-01-01"),
        (59, "1970-03-01"),
        (11_016, "2000-02-29"),
        (19_782, "2024-02-29"),
        (20_088, "2024-12-31"),
    ] {
        assert_eq!(day_text(day).as_deref(), Some(text));
        assert_eq!(day_of_text(text), Some(day));
    }
    for bad in [
        "",
        "2023-02-29",
        "2023-13-01",
        "2023-1-011",
        "+023-01-01",
        "1969-12-31",
        "2024-00-10",
        "2024-01-00",
        "2024-01-0é",
    ] {
        assert_eq!(day_of_text(bad), None, "{bad}");
    }
}

#[test]
fn a_machine_set_up_in_one_go_needs_a_few_bytes() {
    let dates = (0..20_000).map(|n| Some(if n == 7_000 { 20_001 } else { 20_000 }));
    let bytes = facts(encode(dates)).encode_to_vec();
    assert!(bytes.len() < 40, "{}", bytes.len());
}

/// Many days that each claim the whole list would cost days x programs.
#[test]
fn days_that_claim_the_whole_list_again_and_again_are_left_out() {
    let all = |day| InstalledOn {
        day,
        runs: vec![0, u32::MAX],
    };
    let dates = decode(&facts((0..200_000).map(all).collect()), 20_000);
    assert!(dates.iter().all(|day| *day == Some(0)));
}

#[test]
fn dates_are_joined_to_their_own_list_alone() {
    let section = |kind: SectionKind, facts: Facts, digest: u8| v1::Section {
        kind: kind.into(),
        digest: vec![digest; 32].into(),
        facts: v1::SectionFacts {
            facts: Some(facts),
            unread: Vec::new(),
        }
        .encode_to_vec()
        .into(),
        ..v1::Section::default()
    };
    let items = ["a", "b"].map(|name| v1::Software {
        name: name.to_owned(),
        ..v1::Software::default()
    });
    let list = v1::SoftwareFacts {
        items: items.to_vec(),
    };
    let dates = |digest: u8| SoftwareDatesFacts {
        software_digest: vec![digest; 32].into(),
        days: encode([None, Some(19_782)].into_iter()),
    };
    let shown = |digest| {
        let sections = [
            section(SectionKind::Software, Facts::Software(list.clone()), 1),
            section(
                SectionKind::SoftwareDates,
                Facts::SoftwareDates(dates(digest)),
                9,
            ),
        ];
        let decoded = sections
            .each_ref()
            .map(|section| v1::SectionFacts::decode(section.facts.clone()).unwrap());
        let pairs: Vec<_> = sections.iter().zip(&decoded).collect();
        let shown = sections_json(&pairs);
        let items = shown[0]["facts"]["items"].as_array().unwrap();
        items
            .iter()
            .map(|item| item["installed_on"].as_str().map(str::to_owned))
            .collect::<Vec<_>>()
    };
    assert_eq!(shown(1), [None, Some("2024-02-29".to_owned())]);
    assert_eq!(shown(2), [None, None]);
}
