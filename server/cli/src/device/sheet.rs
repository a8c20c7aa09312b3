//! A spreadsheet saved as text, as rows: whichever encoding and separator the program that saved it chose. What the columns
//! mean is the coordinator's to say.

use crate::failure::{Exit, Failure, Outcome};

/// A file as rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sheet {
    /// The first row.
    pub headings: Vec<String>,
    /// Line in the file and cells of each other row that holds something.
    pub rows: Vec<(u32, Vec<String>)>,
}

/// Reads a file.
///
/// # Errors
/// Says what cannot be read.
pub fn read(bytes: &[u8]) -> Outcome<Sheet> {
    // One kind of line end: the reader counts a line late where it is two characters.
    let text = decode(bytes).replace("\r\n", "\n").replace('\r', "\n");
    // Excel reads the separator from such a line, and writes it.
    let (hint, body) = match text.split_once('\n') {
        Some((line, rest))
            if line.trim_end().len() == 5 && line.to_ascii_lowercase().starts_with("sep=") =>
        {
            (line.trim_end().bytes().last(), rest)
        }
        _ => (None, text.as_str()),
    };
    let skipped = u64::from(hint.is_some());
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(hint.unwrap_or_else(|| separator(body)))
        .has_headers(false)
        .flexible(true)
        .from_reader(body.as_bytes());
    let mut headings = None;
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| {
            wrong(
                format!("no se puede leer: {error}"),
                format!("cannot be read: {error}"),
            )
        })?;
        let line = record.position().map_or(0, csv::Position::line) + skipped;
        let cells: Vec<String> = record.iter().map(str::to_owned).collect();
        if cells.iter().all(|cell| cell.trim().is_empty()) {
            continue;
        }
        if headings.is_none() {
            headings = Some(cells.iter().map(|cell| cell.trim().to_owned()).collect());
        } else {
            rows.push((u32::try_from(line).unwrap_or(u32::MAX), cells));
        }
    }
    let headings = headings.ok_or_else(|| wrong("está vacío", "is empty"))?;
    Ok(Sheet { headings, rows })
}

fn wrong(es: impl std::fmt::Display, en: impl std::fmt::Display) -> Failure {
    Failure::new(
        Exit::Invalid,
        "SHEET_MALFORMED",
        format!("el archivo {es}"),
        format!("the file {en}"),
    )
    .hint(
        "guárdelo desde la hoja de cálculo como CSV",
        "save it from the spreadsheet program as CSV",
    )
}

/// UTF-8 or UTF-16 by their marks, UTF-8 where it is valid, else Windows-1252, in which every byte is a character.
fn decode(bytes: &[u8]) -> String {
    if let Some((encoding, mark)) = encoding_rs::Encoding::for_bom(bytes) {
        let body = bytes.get(mark..).unwrap_or_default();
        return encoding.decode_without_bom_handling(body).0.into_owned();
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => encoding_rs::WINDOWS_1252
            .decode_without_bom_handling(bytes)
            .0
            .into_owned(),
    }
}

/// The separator that stands most often in the first line outside of quotes. Of equals the semicolon: programs write it
/// where the comma is for decimals.
fn separator(text: &str) -> u8 {
    let line = text
        .lines()
        .find(|line| !line.trim().is_empty())
        .unwrap_or_default();
    let count = |wanted: char| {
        let mut quoted = false;
        line.chars()
            .filter(|ch| {
                if *ch == '"' {
                    quoted = !quoted;
                }
                !quoted && *ch == wanted
            })
            .count()
    };
    let (mut best, mut most) = (b';', count(';'));
    for (byte, ch) in [(b'\t', '\t'), (b',', ',')] {
        if count(ch) > most {
            (best, most) = (byte, count(ch));
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(list: &[&str]) -> Vec<String> {
        list.iter().map(|cell| (*cell).to_owned()).collect()
    }

    #[test]
    fn the_same_sheet_in_every_dress_reads_the_same() {
        let plain = "Placa;Garantía;Valor\r\n100-7;31/03/2028;\"$ 1.234,50\"\r\n;;\r\n100-8;;x\r\n";
        let expected = Sheet {
            headings: cells(&["Placa", "Garantía", "Valor"]),
            rows: vec![
                (2, cells(&["100-7", "31/03/2028", "$ 1.234,50"])),
                (4, cells(&["100-8", "", "x"])),
            ],
        };
        let latin: Vec<u8> = encoding_rs::WINDOWS_1252.encode(plain).0.into_owned();
        let mut utf16 = vec![0xff, 0xfe];
        utf16.extend(plain.encode_utf16().flat_map(u16::to_le_bytes));
        for (name, bytes) in [
            ("utf-8", plain.as_bytes().to_vec()),
            (
                "utf-8 with its mark",
                format!("\u{feff}{plain}").into_bytes(),
            ),
            ("windows-1252", latin),
            ("utf-16", utf16),
            ("tabs", plain.replace(';', "\t").into_bytes()),
            ("commas", plain.replace(';', ",").into_bytes()),
        ] {
            assert_eq!(read(&bytes).unwrap(), expected, "{name}");
        }
        let hinted = read(format!("sep=;\r\n{plain}").as_bytes()).unwrap();
        assert_eq!(hinted.headings, expected.headings);
        assert_eq!(hinted.rows[0].0, 3);
    }

    #[test]
    fn a_file_cut_at_any_byte_is_read_or_refused() {
        let whole = "\u{feff}Placa;Nota\n1;\"a\nb\"\n2;ñandú\n".as_bytes();
        for end in 0..whole.len() {
            let _ = read(&whole[..end]);
        }
        assert_eq!(read(b"").unwrap_err().code, "SHEET_MALFORMED");
        assert_eq!(read(whole).unwrap().rows[0].1[1], "a\nb");
    }
}
