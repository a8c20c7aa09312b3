#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use chasqui_documents::Cell::{Empty, Number, Text};
use chasqui_documents::{Cell, csv, xlsx};
use proptest::prelude::*;

fn csv_of(cells: &[Cell]) -> String {
    let mut out = Vec::new();
    csv::row(&mut out, cells).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn csv_is_quoted_where_it_must_be() {
    let cells = [
        Text("a".into()),
        Text("b,\"c\"".into()),
        Empty,
        Number(-3.0),
        Number(8589934592.0),
        Text(" d".into()),
    ];
    assert_eq!(
        csv_of(&cells),
        "a,\"b,\"\"c\"\"\",,-3,8589934592,\" d\"\r\n"
    );
    assert_eq!(
        csv_of(&[Text("dos\r\nlíneas".into())]),
        "\"dos\r\nlíneas\"\r\n"
    );
}

#[test]
fn a_host_name_that_is_a_formula_is_text() {
    for text in [
        "=1+1",
        "+1",
        "-1",
        "@SUM(A1)",
        "  =1",
        "\t=1",
        "\u{feff}=1",
        "＝1",
        "\rx",
    ] {
        assert_eq!(csv::defused(text), format!("'{text}"));
    }
    for text in ["pc-07", "a=b", "", "1-2"] {
        assert_eq!(csv::defused(text), text);
    }
}

#[test]
fn the_same_rows_give_the_same_workbook() {
    let heading = vec!["equipo".to_owned(), "ram".to_owned()];
    let rows = vec![
        vec![Text("=HYPERLINK(\"x\")".into()), Number(8.0)],
        vec![Text("control\u{1}".into()), Empty],
    ];
    let first = xlsx::sheet("equipos", &heading, &rows).unwrap();
    assert_eq!(first, xlsx::sheet("equipos", &heading, &rows).unwrap());
    assert_eq!(&first[..2], b"PK");
    assert_ne!(first, xlsx::sheet("equipos", &heading, &rows[..1]).unwrap());
    assert!(xlsx::sheet("a/b", &heading, &rows).is_err());
    assert!(xlsx::sheet("vacía", &[], &[]).is_ok());
}

/// Reads one row back as RFC 4180 says, apart from the code that wrote it.
fn read(line: &str) -> Vec<String> {
    let body = line.strip_suffix("\r\n").unwrap();
    let (mut cells, mut cell, mut inside) = (Vec::new(), String::new(), false);
    let mut chars = body.chars().peekable();
    while let Some(ch) = chars.next() {
        match ch {
            '"' if inside && chars.peek() == Some(&'"') => {
                chars.next();
                cell.push('"');
            }
            '"' => inside = !inside,
            ',' if !inside => cells.push(std::mem::take(&mut cell)),
            ch => cell.push(ch),
        }
    }
    cells.push(cell);
    cells
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(texts in prop::collection::vec("[ -~ñ\r\n\t]{0,12}", 1..6)) {
        let cells: Vec<Cell> = texts.iter().cloned().map(Text).collect();
        let expected: Vec<String> = texts.iter().map(|text| csv::defused(text)).collect();
        prop_assert_eq!(read(&csv_of(&cells)), expected);
    }
}
