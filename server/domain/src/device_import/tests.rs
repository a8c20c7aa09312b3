use proptest::prelude::*;

use super::*;

const NOW: i64 = 1_800_000_000_000;

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn headings_of_real_spreadsheets_are_known() {
    for (heading, name) in [
        ("Placa", "plate"),
        ("No. de Placa", "plate"),
        ("PLACA DE INVENTARIO", "plate"),
        ("Dependencia", "dependency"),
        ("SEDE", "seat"),
        ("Puesto", "seat"),
        ("Ubicación", "seat"),
        ("Responsable", "responsible"),
        ("Cuentadante", "responsible"),
        ("Fecha de Compra", "purchase_date"),
        ("fecha_de_compra", "purchase_date"),
        ("Fecha de adquisición", "purchase_date"),
        ("Valor", "cost"),
        ("Valor de compra", "cost"),
        ("Moneda", "currency"),
        ("Contrato No.", "contract"),
        ("Nº Factura", "-"),
        ("Factura", "invoice"),
        ("Garantía", "warranty_end"),
        ("Fin de la garantía", "warranty_end"),
        ("Proveedor", "supplier"),
        ("Serial", "serial"),
        ("S/N", "serial"),
        ("Equipo", "host_name"),
        ("Nombre del equipo", "host_name"),
        ("ID", "id"),
        ("Observaciones", "note"),
        ("warranty_end", "warranty_end"),
        ("Marca", "-"),
        ("", "-"),
    ] {
        let got = Column::of_heading(heading).name();
        // "Nº" folds to "no" joined to nothing: it is a word of its own and vanishes.
        let name = if heading == "Nº Factura" {
            "invoice"
        } else {
            name
        };
        assert_eq!(got, name, "{heading}");
    }
}

#[test]
fn a_mapping_wins_and_is_checked() {
    let headings = texts(&["Código", "Placa", "Placa vieja"]);
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    let columns_of = |mapping: &[(String, String)]| columns(&headings, mapping);
    assert_eq!(
        columns_of(&[pair("codigo", "serial")]).unwrap(),
        [Column::Serial, Column::Fact(Field::Plate), Column::Ignored]
    );
    assert_eq!(
        columns_of(&[pair("Placa vieja", "plate")]).unwrap(),
        [Column::Ignored, Column::Ignored, Column::Fact(Field::Plate)]
    );
    let codes = |mapping: &[(String, String)]| {
        columns_of(mapping)
            .unwrap_err()
            .into_iter()
            .map(|one| one.code)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        codes(&[pair("x", "plate"), pair("Placa", "y")]),
        ["COLUMN_UNKNOWN", "FIELD_UNKNOWN"]
    );
    assert_eq!(
        codes(&[pair("Código", "plate"), pair("Placa", "plate")]),
        ["COLUMN_TWICE"]
    );
    assert_eq!(codes(&[pair("Placa", "-")]), ["NO_KEY_COLUMN"]);
    assert_eq!(
        columns(&texts(&["Sede", "Puesto", "Placa"]), &[]).unwrap_err()[0].code,
        "COLUMN_TWICE"
    );
}

#[test]
fn a_row_says_what_its_cells_say_and_no_more() {
    let headings = texts(&["Moneda", "Valor", "Serial", "Placa", "Fecha de compra"]);
    let columns = columns(&headings, &[]).unwrap();
    let before = Facts {
        plate: "old".into(),
        seat: "Piso 1".into(),
        ..Facts::default()
    };
    let one = row(
        2,
        &texts(&["usd", "1.234,50", " ABC1 ", "", "03/04/2021"]),
        &headings,
        &columns,
    )
    .unwrap();
    assert_eq!((one.serial.as_str(), one.plate()), ("ABC1", ""));
    let after = one.apply(&before, NOW).unwrap();
    assert_eq!(after.text(Field::Cost), "1234.50");
    assert_eq!(
        (
            after.currency.as_str(),
            after.plate.as_str(),
            after.seat.as_str()
        ),
        ("USD", "old", "Piso 1")
    );
    assert_eq!(after.purchase_date.as_deref(), Some("2021-04-03"));

    let bad = row(
        3,
        &texts(&["pesos", "mucho", "ABC1", "7", "31/02/2021"]),
        &headings,
        &columns,
    )
    .unwrap();
    let problems = bad.apply(&before, NOW).unwrap_err();
    let columns_named: Vec<_> = problems.iter().map(|one| one.column.as_str()).collect();
    assert_eq!(columns_named, ["Valor", "Fecha de compra", "Moneda"]);
    assert!(
        problems
            .iter()
            .all(|one| one.line == 3 && one.code == "VALUE_INVALID")
    );

    assert!(
        row(4, &texts(&["", " "]), &headings, &columns)
            .unwrap()
            .is_blank()
    );
    assert_eq!(
        row(5, &texts(&["", "", "", "", "", "x"]), &headings, &columns)
            .unwrap_err()
            .code,
        "ROW_TOO_LONG"
    );
}

#[test]
fn a_row_finds_one_device_or_says_why_not() {
    let ids = |list: &[&str]| Some(texts(list));
    let code = |found: Found| {
        choose(9, &found).map_err(|problem| (problem.code, problem.candidates.len()))
    };
    assert_eq!(
        code(Found {
            serial: ids(&["a"]),
            ..Found::default()
        }),
        Ok("a".into())
    );
    assert_eq!(
        code(Found {
            serial: ids(&["a", "b"]),
            host_name: ids(&["b", "c"]),
            ..Found::default()
        }),
        Ok("b".into())
    );
    // The plate is what the row says, where something else finds the device.
    assert_eq!(
        code(Found {
            serial: ids(&["a"]),
            plate: ids(&["b"]),
            ..Found::default()
        }),
        Ok("a".into())
    );
    assert_eq!(
        code(Found {
            plate: ids(&["b"]),
            ..Found::default()
        }),
        Ok("b".into())
    );
    assert_eq!(
        code(Found {
            serial: ids(&["a", "b"]),
            ..Found::default()
        }),
        Err(("DEVICE_AMBIGUOUS", 2))
    );
    assert_eq!(
        code(Found {
            serial: ids(&["a"]),
            host_name: ids(&["b"]),
            ..Found::default()
        }),
        Err(("DEVICE_CONTRADICTION", 2))
    );
    assert_eq!(
        code(Found {
            serial: ids(&[]),
            plate: ids(&["b"]),
            ..Found::default()
        }),
        Err(("DEVICE_UNKNOWN", 0))
    );
    assert_eq!(code(Found::default()), Err(("ROW_WITHOUT_KEY", 0)));
}

proptest! {
    #[test]
    fn any_sheet_is_read_or_refused(
        headings in proptest::collection::vec("\\PC{0,12}", 0..6),
        cells in proptest::collection::vec("\\PC{0,12}", 0..8),
    ) {
        if let Ok(columns) = columns(&headings, &[]) {
            prop_assert_eq!(columns.len(), headings.len());
            if let Ok(row) = row(1, &cells, &headings, &columns) {
                let _ = row.apply(&Facts::default(), NOW);
            }
        }
    }
}
