use proptest::prelude::*;

use super::*;

/// 2027-01-15.
const NOW: i64 = 1_800_000_000_000;

fn with(pairs: &[(Field, &str)]) -> Facts {
    let mut facts = Facts::default();
    for (field, text) in pairs {
        facts.set(*field, text, NOW).unwrap();
    }
    facts
}

#[test]
fn money_is_read_as_colombians_and_programs_write_it() {
    for (text, minor, currency) in [
        ("1234567.89", 123_456_789, None),
        ("1.234.567,89", 123_456_789, None),
        ("$ 1.234.567,89", 123_456_789, None),
        ("$1.234.567", 123_456_700, None),
        ("1,234,567.89", 123_456_789, None),
        ("1.234", 123_400, None),
        ("1,234", 123_400, None),
        ("12,5", 1_250, None),
        ("0", 0, None),
        ("0,50", 50, None),
        ("COP 1.200.000", 120_000_000, Some("COP")),
        ("COP$1.200.000", 120_000_000, Some("COP")),
        ("300,00 usd", 30_000, Some("USD")),
        ("US$ 300", 30_000, Some("USD")),
        ("€ 99,90", 9_990, Some("EUR")),
        ("1'234'567", 123_456_700, None),
    ] {
        assert_eq!(
            money(text),
            Ok((minor, currency.map(str::to_owned))),
            "{text}"
        );
    }
    for bad in [
        "",
        "$",
        "-5",
        "1.23.456",
        "1,234.567",
        "12.345,678",
        "abc",
        "1e9",
        "0.001",
        "1..2",
        "1.2.3",
        "99999999999999999999",
        "12 USD EUR",
        "½",
    ] {
        assert!(money(bad).is_err(), "{bad}");
    }
}

#[test]
fn days_are_read_day_first_or_as_iso() {
    for (text, date) in [
        ("2021-02-28", "2021-02-28"),
        ("28/02/2021", "2021-02-28"),
        ("1/2/2021", "2021-02-01"),
        ("28-02-2021", "2021-02-28"),
        ("28.02.2021", "2021-02-28"),
        ("2021-02-28 00:00:00", "2021-02-28"),
        ("28/02/2021 0:00", "2021-02-28"),
    ] {
        assert_eq!(
            day(text).map(|date| date.to_string()),
            Ok(date.to_owned()),
            "{text}"
        );
    }
    for bad in [
        "",
        "2021-02-29",
        "02/28/2021",
        "28/02/21",
        "28/2",
        "x",
        "2021-02-28T10:00",
        "44250",
    ] {
        assert!(day(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_purchase_lies_in_the_past_and_a_warranty_may_not() {
    let mut facts = Facts::default();
    for bad in ["1979-12-31", "2027-02-01", "31/02/2021"] {
        assert!(facts.set(Field::PurchaseDate, bad, NOW).is_err(), "{bad}");
    }
    facts.set(Field::PurchaseDate, "15/01/2027", NOW).unwrap();
    facts.set(Field::WarrantyEnd, "2030-01-15", NOW).unwrap();
    assert_eq!(facts.text(Field::PurchaseDate), "2027-01-15");
    facts.set(Field::PurchaseDate, " ", NOW).unwrap();
    assert_eq!(facts.purchase_date, None);
}

#[test]
fn a_cost_has_a_currency_and_a_currency_a_cost() {
    let mut facts = with(&[(Field::Cost, "$ 3.500.000")]);
    assert_eq!(
        (facts.cost_minor, facts.currency.as_str()),
        (Some(350_000_000), "COP")
    );
    facts.set(Field::Currency, "usd", NOW).unwrap();
    assert_eq!(facts.currency, "USD");
    facts.set(Field::Cost, "", NOW).unwrap();
    assert_eq!((facts.cost_minor, facts.currency.as_str()), (None, ""));
    assert!(facts.set(Field::Currency, "pesos", NOW).is_err());
}

#[test]
fn every_field_is_written_read_copied_and_named() {
    let full = with(&[
        (Field::Plate, "100-7"),
        (Field::Dependency, "Jurídica"),
        (Field::Seat, "Piso 3"),
        (Field::Responsible, "A. Pérez"),
        (Field::PurchaseDate, "2021-02-28"),
        (Field::Cost, "US$ 10,50"),
        (Field::Contract, "C-1"),
        (Field::Invoice, "F-1"),
        (Field::Supplier, "Proveedor"),
        (Field::WarrantyEnd, "2030-01-01"),
        (Field::Note, "una\ndos"),
    ]);
    let empty = Facts::default();
    assert_eq!(empty.changes(&full).len(), Field::ALL.len());
    assert_eq!(empty.or(&full), full);
    for field in Field::ALL {
        assert_eq!(Field::of_name(field.name()), Some(*field));
        let mut copy = Facts::default();
        copy.copy(*field, &full);
        assert_eq!(copy.text(*field), full.text(*field), "{}", field.name());
        assert!(!full.text(*field).is_empty(), "{}", field.name());
    }
}

#[test]
fn too_long_and_many_lines_are_refused() {
    let mut facts = Facts::default();
    assert!(facts.set(Field::Plate, &"x".repeat(201), NOW).is_err());
    assert!(facts.set(Field::Plate, "a\nb", NOW).is_err());
    assert!(facts.set(Field::Note, &"x".repeat(2_001), NOW).is_err());
    assert!(facts.set(Field::Note, "a\0b", NOW).is_err());
    assert_eq!(facts, Facts::default());
}

#[test]
fn undoing_a_merge_leaves_what_people_changed_since() {
    let before = with(&[(Field::Seat, "Piso 1")]);
    let after = with(&[
        (Field::Seat, "Piso 1"),
        (Field::Plate, "7"),
        (Field::Supplier, "X"),
    ]);
    let mut now = after.clone();
    now.set(Field::Supplier, "Y", NOW).unwrap();
    let (undone, kept) = now.undo(&before, &after);
    assert_eq!(kept, [Field::Supplier]);
    assert_eq!((undone.plate.as_str(), undone.supplier.as_str()), ("", "Y"));
}

proptest! {
    #[test]
    fn an_amount_is_read_back_as_it_is_shown(minor in 0i64..=MOST) {
        let facts = Facts { cost_minor: Some(minor), ..Facts::default() };
        prop_assert_eq!(money(&facts.text(Field::Cost)).map(|(minor, _)| minor), Ok(minor));
    }

    #[test]
    fn no_text_makes_reading_fail_otherwise_than_by_saying_so(text in "\\PC{0,40}") {
        let _ = money(&text);
        let _ = day(&text);
    }

    #[test]
    fn joined_facts_without_conflict_do_not_depend_on_the_side(a in "[ab]?", b in "[ab]?") {
        let (one, two) = (with(&[(Field::Plate, &a)]), with(&[(Field::Plate, &b)]));
        if one.conflicts(&two).is_empty() {
            prop_assert_eq!(one.or(&two), two.or(&one));
        }
    }
}

const MOST: i64 = 100_000_000_000_000_000;
