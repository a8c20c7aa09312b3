//! Texts that makers leave in place of a fact. They say nothing: two machines that carry one have nothing in common.

use super::super::Unreadable;

/// Compared in lower case, without the blanks around them.
const FILLERS: &[&str] = &[
    "to be filled by o.e.m.",
    "to be filled by o.e.m",
    "to be filled by oem",
    "to be set by oem",
    "tobefilledbyo.e.m.",
    "fill by oem",
    "filled by oem",
    "o.e.m.",
    "o.e.m",
    "oem",
    "oem_string",
    "default string",
    "default",
    "system manufacturer",
    "system product name",
    "system name",
    "system version",
    "system serial number",
    "system sku",
    "system family",
    "sku",
    "product name",
    "family",
    "base board manufacturer",
    "base board product name",
    "base board serial number",
    "base board asset tag",
    "board serial number",
    "chassis manufacture",
    "chassis manufacturer",
    "chassis version",
    "chassis serial number",
    "chassis asset tag",
    "asset tag",
    "asset-1234567890",
    "assettagnum0",
    "assettagnum1",
    "no asset tag",
    "no asset information",
    "noassettag",
    "serial number",
    "serial",
    "sernum0",
    "sernum1",
    "sernum2",
    "sernum3",
    "partnum0",
    "partnum1",
    "partnum2",
    "partnum3",
    "manufacturer0",
    "manufacturer1",
    "manufacturer00",
    "array1_partnumber0",
    "array1_serialnumber0",
    "modulepartnumber",
    "not specified",
    "not applicable",
    "not available",
    "not provided",
    "not defined",
    "not settable",
    "no serial",
    "no serial number",
    "noserial",
    "none",
    "null",
    "nil",
    "n/a",
    "na",
    "unknown",
    "undefined",
    "unspecified",
    "invalid",
    "empty",
    "no dimm",
    "<bad index>",
    "<out of spec>",
    "bad index",
    "type1sku0",
    "type1family",
    "type1productconfigid",
    "type2 - board serial number",
    "type3 - chassis serial number",
    "1234567",
    "12345678",
    "123456789",
    "1234567890",
    "0123456789",
    "01234567890",
    "01234567",
    "0123456",
    "123456789abcdef",
    "0123456789abcdef",
    "123456789abc",
    "123456789012",
    "1234567890ab",
    "1234567890abcdef",
    "0123456789abc",
    "0123456789abcde",
    "mb-1234567890",
    "chassis-1234567890",
    "sn-123456789",
    "system-serial-number",
    "this is the serial number",
    "all series",
];

const BAD_UUIDS: &[&str] = &[
    "03000200-0400-0500-0006-000700080009",
    "00020003-0004-0005-0006-000700080009",
    "12345678-1234-5678-90ab-cddeefaabbcc",
    "78563412-3412-7856-90ab-cddeefaabbcc",
    "00112233-4455-6677-8899-aabbccddeeff",
    "33221100-5544-7766-8899-aabbccddeeff",
    "01234567-89ab-cdef-0123-456789abcdef",
    "11111111-2222-3333-4444-555555555555",
    "8e275844-178f-44a8-aceb-a7d7e5178c63",
    "feefc006-0000-0000-0000-000000000000",
    "4c4c4544-0000-2010-8020-80c04f202020",
];

/// True for a text that stands in for a missing fact.
pub fn is_filler(text: &str) -> bool {
    let text = text.trim().to_lowercase();
    if FILLERS.contains(&text.as_str()) {
        return true;
    }
    let mut characters = text.chars();
    let Some(first) = characters.next() else {
        return true;
    };
    let equal = characters.all(|c| c == first);
    match text.chars().count() {
        // A single letter or digit may be a short asset tag; zero, a dot or an x is not.
        1 | 2 => equal && (matches!(first, '0' | 'x') || !first.is_alphanumeric()),
        _ => {
            equal
                || text
                    .chars()
                    .all(|c| matches!(c, '0' | ' ' | '.' | '-' | '_' | '*'))
        }
    }
}

/// True for a UUID that many machines share.
pub fn is_bad_uuid(uuid: &str) -> bool {
    let uuid = uuid.to_ascii_lowercase();
    let mut digits = uuid.chars().filter(|c| *c != '-');
    let first = digits.next();
    digits.all(|c| Some(c) == first) || BAD_UUIDS.contains(&uuid.as_str())
}

/// Lets a text through unless it is a filler.
pub fn refuse(read: Result<String, Unreadable>) -> Result<String, Unreadable> {
    let text = read?;
    if is_filler(&text) {
        return Err(Unreadable::placeholder(text));
    }
    Ok(text)
}

/// Lets a UUID through, lower case with dashes, unless it is shared or no UUID.
pub fn refuse_uuid(read: Result<String, Unreadable>) -> Result<String, Unreadable> {
    let text = read?;
    let uuid = uuid::Uuid::parse_str(text.trim())
        .map_err(|_| Unreadable::malformed(format!("not a UUID: {text:.60}")))?
        .to_string();
    if is_bad_uuid(&uuid) {
        return Err(Unreadable::placeholder(uuid));
    }
    Ok(uuid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fillers_are_known_and_facts_are_not() {
        for filler in [
            "To be filled by O.E.M.",
            " Default string ",
            "System Serial Number",
            "0",
            "00000000",
            "FFFFFFFFFFFF",
            "................",
            "  ",
            "XXXXXXXX",
            "0000-0000",
            "Not Specified",
        ] {
            assert!(is_filler(filler), "{filler:?}");
        }
        for fact in [
            "CZC3201ABC",
            "7",
            "42",
            "HP Compaq Pro 6300 SFF",
            "1.0",
            "J8H2MN3",
        ] {
            assert!(!is_filler(fact), "{fact:?}");
        }
    }

    #[test]
    fn shared_uuids_are_refused() {
        for bad in [
            "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF",
            "00000000-0000-0000-0000-000000000000",
            "03000200-0400-0500-0006-000700080009",
        ] {
            let refused = refuse_uuid(Ok(bad.to_owned())).unwrap_err();
            assert_eq!(refused, Unreadable::placeholder(bad.to_lowercase()));
        }
        let good = "4C4C4544-0038-4810-804A-CAC04F4D4E33";
        assert_eq!(
            refuse_uuid(Ok(good.to_owned())).unwrap(),
            good.to_lowercase()
        );
    }
}
