//! Values as agents write them: numbers in text, `0` and `1` for truth, dates in a dozen orders, makers' fillers for serial
//! numbers. What breaks the expected type is not there.

use std::net::Ipv6Addr;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

/// Most characters of one text.
const MAX_TEXT: usize = 500;

/// One object of a message.
#[derive(Clone, Copy)]
pub struct Item<'a>(pub &'a Map<String, Value>);

impl<'a> Item<'a> {
    /// A text that says something, without control characters, bounded.
    pub fn text(self, key: &str) -> Option<String> {
        let text = match self.0.get(key)? {
            Value::String(text) => clip(text, MAX_TEXT),
            Value::Number(number) => number.to_string(),
            _ => return None,
        };
        (!text.is_empty() && !matches!(text.as_str(), "n/a" | "N/A")).then_some(text)
    }

    /// A text that means something only whole: none when it is longer than 4 KiB.
    pub fn whole_text(self, key: &str) -> Option<String> {
        let text = self.0.get(key)?.as_str()?;
        (text.len() <= 4_096).then(|| text.to_owned())
    }

    /// The first of several names that says something.
    pub fn any(self, keys: &[&str]) -> Option<String> {
        keys.iter().find_map(|key| self.text(key))
    }

    /// A whole number, also as text.
    pub fn number(self, key: &str) -> Option<u64> {
        match self.0.get(key)? {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// As [`number`](Self::number), of 32 bits.
    pub fn small(self, key: &str) -> Option<u32> {
        self.number(key)
            .and_then(|number| u32::try_from(number).ok())
    }

    /// The number at the beginning of a text: `1867 MT/s`.
    pub fn leading(self, key: &str) -> Option<u32> {
        let text = self.text(key)?;
        let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    }

    /// An amount in mebibytes, or with a unit in text, as bytes. Nothing is no amount.
    pub fn mebibytes(self, key: &str) -> Option<u64> {
        let text = self.text(key)?;
        let split = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let (digits, unit) = text.split_at_checked(split)?;
        let factor: u64 = match unit.trim().to_ascii_uppercase().as_str() {
            "B" => 1,
            "KB" => 1 << 10,
            "" | "MB" => 1 << 20,
            "GB" => 1 << 30,
            "TB" => 1 << 40,
            "PB" => 1 << 50,
            _ => return None,
        };
        let bytes = digits.parse::<u64>().ok()?.checked_mul(factor)?;
        (bytes > 0).then_some(bytes)
    }

    /// An amount in millions of bytes, as bytes.
    pub fn megabytes(self, key: &str) -> Option<u64> {
        let bytes = self.number(key)?.checked_mul(1_000_000)?;
        (bytes > 0).then_some(bytes)
    }

    /// The same with decimals, `4.19`.
    pub fn decimal_megabytes(self, key: &str) -> Option<u64> {
        let text = self.text(key)?;
        let (whole, part) = text.split_once('.').unwrap_or((&text, ""));
        let micro: String = part.chars().chain("000000".chars()).take(6).collect();
        let bytes = whole
            .parse::<u64>()
            .ok()?
            .checked_mul(1_000_000)?
            .checked_add(micro.parse().ok()?)?;
        (bytes > 0).then_some(bytes)
    }

    /// Yes or no in one of the ways agents write it.
    pub fn flag(self, key: &str) -> Option<bool> {
        match self.0.get(key)? {
            Value::Bool(flag) => Some(*flag),
            Value::Number(number) => number.as_u64().map(|number| number != 0),
            Value::String(text) => match text.trim().to_ascii_lowercase().as_str() {
                "1" | "yes" | "true" | "on" | "enabled" | "running" => Some(true),
                "0" | "no" | "false" | "off" | "disabled" | "stopped" => Some(false),
                _ => None,
            },
            _ => None,
        }
    }

    /// `YYYY-MM-DD` from any of the forms of a date.
    pub fn day(self, key: &str) -> Option<String> {
        day(&self.text(key)?).map(|day| day.to_string())
    }

    /// An object below.
    pub fn object(self, key: &str) -> Option<Item<'a>> {
        self.0.get(key)?.as_object().map(Item)
    }
}

/// Text without control characters at its ends and inside, at most `most` characters.
pub fn clip(text: &str, most: usize) -> String {
    let plain: String = text
        .trim()
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(most)
        .collect();
    plain.trim().to_owned()
}

/// Objects of a list; an object alone is a list of one.
pub fn list<'a>(content: &'a Map<String, Value>, key: &str) -> Option<Vec<Item<'a>>> {
    match content.get(key)? {
        Value::Array(items) => Some(
            items
                .iter()
                .filter_map(Value::as_object)
                .map(Item)
                .collect(),
        ),
        Value::Object(one) => Some(vec![Item(one)]),
        // An element without children: there, and empty.
        Value::String(text) if text.trim().is_empty() => Some(Vec::new()),
        _ => None,
    }
}

/// Texts of a list.
pub fn texts(item: Item<'_>, key: &str) -> Vec<String> {
    match item.0.get(key) {
        Some(Value::Array(list)) => list
            .iter()
            .filter_map(Value::as_str)
            .map(|text| clip(text, 200))
            .filter(|text| !text.is_empty())
            .take(5_000)
            .collect(),
        _ => item.text(key).into_iter().collect(),
    }
}

/// A day in one of the orders that agents write.
fn day(text: &str) -> Option<Date> {
    let sane = |date: Date| (1970..=2200).contains(&date.year()).then_some(date);
    let first = text.split(['T', ' ', '|']).next().unwrap_or(text);
    if let Ok(date) = first.parse::<Date>() {
        return sane(date);
    }
    let orders = if first.contains('/') {
        // A firmware's date begins with the month, others with the day: what is a date in one order alone is that one.
        ["%m/%d/%Y", "%d/%m/%Y"].as_slice()
    } else if first.contains('.') {
        ["%d.%m.%Y"].as_slice()
    } else if first.len() == 8 {
        ["%Y%m%d"].as_slice()
    } else {
        return Date::strptime("%a %b %d %H:%M:%S %Y", text)
            .ok()
            .and_then(sane);
    };
    orders
        .iter()
        .find_map(|order| Date::strptime(order, first).ok())
        .and_then(sane)
}

/// A moment in local time with its offset (`+0200`), in UTC milliseconds.
pub fn moment(text: &str, offset: &str) -> Option<i64> {
    let local: DateTime = text.replace(['|', ' '], "T").parse().ok()?;
    let (sign, digits) = match offset.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let (hours, minutes) = digits.split_at_checked(2)?;
    let minutes: i32 = if minutes.is_empty() {
        0
    } else {
        minutes.parse().ok()?
    };
    let seconds = sign * (hours.parse::<i32>().ok()? * 3_600 + minutes * 60);
    let zone = jiff::tz::Offset::from_seconds(seconds).ok()?;
    zone.to_timestamp(local).ok().map(|at| at.as_millisecond())
}

/// When somebody logged on, in UTC milliseconds: a moment with its offset or a `Z`, or what `last` writes (`Fri Jun 12
/// 14:15`, without a year: the latest one before `now_ms` in which that day is a Friday).
pub fn log_on(text: &str, offset: &str, now_ms: i64) -> Option<i64> {
    if let Some(plain) = text.strip_suffix('Z') {
        return moment(plain, "+00");
    }
    let now = Timestamp::from_millisecond(now_ms).ok()?;
    let this = jiff::tz::TimeZone::UTC.to_datetime(now).year();
    let words: Vec<&str> = text.split_whitespace().collect();
    let [weekday, month, day, time] = words.as_slice() else {
        return moment(text, offset);
    };
    let time = match time.matches(':').count() {
        1 => format!("{time}:00"),
        _ => (*time).to_owned(),
    };
    (0..7).find_map(|back| {
        let date = format!("{weekday} {day} {month} {}", this - back);
        let date = Date::strptime("%a %d %b %Y", date).ok()?;
        let at = moment(&format!("{date} {time}"), offset)?;
        // A clock may be a day ahead.
        (at <= now_ms.saturating_add(86_400_000)).then_some(at)
    })
}

/// The digest of a public key in the form of OpenSSH (`ssh-ed25519 AAAA...`), as `ssh-keygen -l` shows it.
pub fn ssh_digest(text: &str) -> Option<String> {
    let blob = STANDARD.decode(text.split_whitespace().nth(1)?).ok()?;
    // The key's kind stands in it once more.
    let kind = text.split_whitespace().next()?;
    blob.get(4..)?.starts_with(kind.as_bytes()).then(|| {
        let digest = STANDARD_NO_PAD.encode(Sha256::digest(&blob));
        format!("SHA256:{digest}")
    })
}

/// Number of leading ones of an IPv4 or IPv6 mask.
pub fn prefix(mask: &str) -> Option<u32> {
    let (bits, width) = if let Ok(four) = mask.parse::<std::net::Ipv4Addr>() {
        (u128::from(four.to_bits()) << 96, 32)
    } else {
        (mask.parse::<Ipv6Addr>().ok()?.to_bits(), 128)
    };
    let ones = bits.leading_ones().min(width);
    (bits.count_ones() == ones).then_some(ones)
}

/// Whether a maker left this text where a serial number belongs: what such texts say is nothing.
pub fn is_filler(text: &str) -> bool {
    let plain: String = text
        .chars()
        .filter(|c| c.is_alphanumeric())
        .collect::<String>()
        .to_ascii_lowercase();
    let known = [
        "tobefilledbyoem",
        "defaultstring",
        "systemserialnumber",
        "serialnumber",
        "baseboardserialnumber",
        "chassisserialnumber",
        "assettag",
        "assettagnumber",
        "noassettag",
        "noassetinformation",
        "none",
        "notspecified",
        "notapplicable",
        "notavailable",
        "unknown",
        "invalid",
        "oem",
        "03000200040005000006000700080009",
    ];
    let first = plain.chars().next();
    plain.is_empty() || known.contains(&plain.as_str()) || plain.chars().all(|c| Some(c) == first)
}

/// Old and XML names of keys as the present ones.
pub fn normalise(content: &mut Map<String, Value>) {
    let rename = |object: &mut Map<String, Value>, old: &str, new: &str| {
        if !object.contains_key(new)
            && let Some(value) = object.remove(old)
        {
            object.insert(new.to_owned(), value);
        }
    };
    rename(content, "firewall", "firewalls");
    if !content.contains_key("versionclient")
        && let Some(version) = content
            .get("hardware")
            .and_then(|hardware| hardware.get("versionclient"))
            .cloned()
    {
        content.insert("versionclient".to_owned(), version);
    }
    for (list, old, new) in [
        ("storages", "serialnumber", "serial"),
        ("networks", "macaddr", "mac"),
        ("softwares", "installdate", "install_date"),
        ("local_groups", "member", "members"),
        ("antivirus", "datfilecreation", "base_creation"),
        ("antivirus", "datfileversion", "base_version"),
        ("memories", "serial", "serialnumber"),
    ] {
        match content.get_mut(list) {
            Some(Value::Array(items)) => {
                for item in items.iter_mut().filter_map(Value::as_object_mut) {
                    rename(item, old, new);
                }
            }
            Some(Value::Object(item)) => rename(item, old, new),
            _ => {}
        }
    }
}

/// The tag among the account's values.
pub fn account_tag(content: &Map<String, Value>) -> Option<String> {
    list(content, "accountinfo")?
        .into_iter()
        .find(|item| item.text("keyname").as_deref() == Some("TAG"))
        .and_then(|item| item.text("keyvalue"))
}

/// The program that made an inventory, for people: `GLPI-Agent 1.7`.
pub fn client(content: &Map<String, Value>) -> String {
    let text = Item(content).text("versionclient").unwrap_or_default();
    let text = clip(&text.replacen("_v", " ", 1), 80);
    if text.is_empty() {
        "unnamed agent".to_owned()
    } else {
        text
    }
}

/// `fusioninventory` or `glpi_agent`, by the program's name.
pub fn origin(client: &str) -> &'static str {
    if client.to_ascii_lowercase().starts_with("fusioninventory") {
        "fusioninventory"
    } else {
        "glpi_agent"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_read_in_every_order_agents_write() {
        let iso = |text| day(text).map(|day| day.to_string());
        for (text, wanted) in [
            ("2016-02-06", Some("2016-02-06")),
            ("2016-02-06 10:11:12", Some("2016-02-06")),
            ("07/25/2014", Some("2014-07-25")),
            ("25/07/2014", Some("2014-07-25")),
            ("25.07.2014", Some("2014-07-25")),
            ("20140725", Some("2014-07-25")),
            ("Thu Mar 14 15:05:41 2013", Some("2013-03-14")),
            ("2016-13-41", None),
            ("n/a", None),
            ("00000000", None),
        ] {
            assert_eq!(iso(text).as_deref(), wanted, "{text}");
        }
    }

    #[test]
    fn a_mask_with_holes_is_no_prefix() {
        assert_eq!(prefix("255.255.255.0"), Some(24));
        assert_eq!(prefix("255.0.255.0"), None);
        assert_eq!(prefix("ffff:ffff:ffff:ffff::"), Some(64));
        assert_eq!(prefix("0.0.0.0"), Some(0));
        assert_eq!(prefix("fe"), None);
    }

    #[test]
    fn fillers_say_nothing() {
        for filler in [
            "To Be Filled By O.E.M.",
            "0000000000",
            "Default string",
            "None",
            "  ",
        ] {
            assert!(is_filler(filler), "{filler}");
        }
        assert!(!is_filler("640HP72"));
    }

    #[test]
    fn a_log_on_without_a_year_is_the_latest_that_fits() {
        // 2026-03-04 12:00 UTC.
        let now = 1_772_625_600_000;
        for (text, offset, wanted) in [
            ("Tue Mar 3 17:45", "-0500", Some(1_772_577_900_000)),
            ("Fri Jun 12 14:15", "+0200", Some(1_591_964_100_000)),
            ("2026-03-03 22:45:00Z", "", Some(1_772_577_900_000)),
            ("2026-03-03 17:45:00", "-0500", Some(1_772_577_900_000)),
            ("2026-03-03 17:45:00", "", None),
            ("Tue Mar 3 17:45", "", None),
            ("Thu Feb 31 10:00", "+00", None),
            ("wtmp begins long ago", "+00", None),
        ] {
            assert_eq!(log_on(text, offset, now), wanted, "{text}");
        }
    }

    #[test]
    fn a_key_is_named_by_its_digest() {
        // Made for this test; the digest is what ssh-keygen -l says.
        let key =
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBTZoLTT3FLaHefvK+5AfTHgr1gWEaRE1qoZXEdVg3b5";
        assert_eq!(
            ssh_digest(key).as_deref(),
            Some("SHA256:2pJpXptXu18aXyM5a3MeiSH82eKAvzYBp9+6lB9AiYo")
        );
        for wrong in [
            "",
            "ssh-rsa",
            "ssh-rsa ***",
            "ssh-rsa AAAA",
            &key.replace("ed25519", "rsa"),
        ] {
            assert_eq!(ssh_digest(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn megabytes_may_have_decimals() {
        let object = serde_json::json!({"a": "4.19", "b": 4, "c": "0.00", "d": "4,19", "e": "99999999999999999999"});
        let item = Item(object.as_object().unwrap());
        let read = ["a", "b", "c", "d", "e"].map(|key| item.decimal_megabytes(key));
        assert_eq!(read, [Some(4_190_000), Some(4_000_000), None, None, None]);
    }

    #[test]
    fn a_moment_needs_its_offset() {
        assert_eq!(
            moment("2020-06-09 07:58:08", "+0200"),
            Some(1_591_682_288_000)
        );
        assert_eq!(moment("2020-06-09 07:58:08", ""), None);
    }
}
