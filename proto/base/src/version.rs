//! Comparing versions as the package managers do. Pure functions over the texts, without a bound of their own: they look at
//! each byte once.
//!
//! Sources: Debian Policy 5.6.12 (epoch, upstream version, revision, `~`); rpm's manual of version comparison (segments,
//! `~` before everything, `^` after the bare version and before anything longer).

use std::cmp::Ordering;

/// Order of two versions of dpkg, `[epoch:]upstream[-revision]`.
///
/// A text that is no version of dpkg is compared as if it were one: what is not a number before the first colon belongs to
/// the upstream version.
pub fn deb(a: &str, b: &str) -> Ordering {
    let ((epoch_a, rest_a), (epoch_b, rest_b)) = (epoch(a.trim()), epoch(b.trim()));
    let ((upstream_a, revision_a), (upstream_b, revision_b)) = (revision(rest_a), revision(rest_b));
    digits(epoch_a.as_bytes(), epoch_b.as_bytes())
        .then_with(|| deb_part(upstream_a.as_bytes(), upstream_b.as_bytes()))
        .then_with(|| deb_part(revision_a.as_bytes(), revision_b.as_bytes()))
}

/// Order of two versions of rpm, `[epoch:]version[-release]`. A release is compared only where both have one, as in rpm's
/// dependencies.
pub fn rpm(a: &str, b: &str) -> Ordering {
    let ((epoch_a, rest_a), (epoch_b, rest_b)) = (epoch(a.trim()), epoch(b.trim()));
    let ((version_a, release_a), (version_b, release_b)) = (revision(rest_a), revision(rest_b));
    let releases = || match (release_a, release_b) {
        ("", _) | (_, "") => Ordering::Equal,
        (a, b) => rpm_part(a.as_bytes(), b.as_bytes()),
    };
    digits(epoch_a.as_bytes(), epoch_b.as_bytes())
        .then_with(|| rpm_part(version_a.as_bytes(), version_b.as_bytes()))
        .then_with(releases)
}

fn epoch(version: &str) -> (&str, &str) {
    match version.split_once(':') {
        Some((epoch, rest)) if epoch.bytes().all(|b| b.is_ascii_digit()) => (epoch, rest),
        _ => ("", version),
    }
}

fn revision(version: &str) -> (&str, &str) {
    version.rsplit_once('-').unwrap_or((version, ""))
}

/// Order of two runs of digits of any length; none at all is zero.
fn digits(a: &[u8], b: &[u8]) -> Ordering {
    let (a, b) = (without_zeroes(a), without_zeroes(b));
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

fn without_zeroes(digits: &[u8]) -> &[u8] {
    let zeroes = digits.iter().take_while(|b| **b == b'0').count();
    digits.get(zeroes..).unwrap_or_default()
}

/// What stands before the first byte that is not `wanted`, and the rest.
fn run(text: &[u8], wanted: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    let length = text.iter().take_while(|b| wanted(**b)).count();
    text.split_at(length.min(text.len()))
}

fn deb_part(mut a: &[u8], mut b: &[u8]) -> Ordering {
    /// A tilde sorts before the end, letters before other characters.
    fn weight(byte: Option<&u8>) -> i32 {
        match byte {
            Some(b'~') => -1,
            None => 0,
            Some(b) if b.is_ascii_alphabetic() => i32::from(*b),
            Some(b) => i32::from(*b) + 256,
        }
    }
    while !a.is_empty() || !b.is_empty() {
        let ((words_a, rest_a), (words_b, rest_b)) = (
            run(a, |b| !b.is_ascii_digit()),
            run(b, |b| !b.is_ascii_digit()),
        );
        for at in 0..words_a.len().max(words_b.len()) {
            let order = weight(words_a.get(at)).cmp(&weight(words_b.get(at)));
            if order.is_ne() {
                return order;
            }
        }
        let ((number_a, after_a), (number_b, after_b)) = (
            run(rest_a, |b| b.is_ascii_digit()),
            run(rest_b, |b| b.is_ascii_digit()),
        );
        let order = digits(number_a, number_b);
        if order.is_ne() {
            return order;
        }
        (a, b) = (after_a, after_b);
    }
    Ordering::Equal
}

fn rpm_part(mut a: &[u8], mut b: &[u8]) -> Ordering {
    if a == b {
        return Ordering::Equal;
    }
    let separator = |b: u8| !b.is_ascii_alphanumeric() && b != b'~' && b != b'^';
    loop {
        a = run(a, separator).1;
        b = run(b, separator).1;
        match (a.first(), b.first()) {
            (Some(b'~'), Some(b'~')) | (Some(b'^'), Some(b'^')) => {
                a = a.get(1..).unwrap_or_default();
                b = b.get(1..).unwrap_or_default();
                continue;
            }
            (Some(b'~'), _) => return Ordering::Less,
            (_, Some(b'~')) => return Ordering::Greater,
            (Some(b'^'), None) => return Ordering::Greater,
            (None, Some(b'^')) => return Ordering::Less,
            (Some(b'^'), Some(_)) => return Ordering::Less,
            (Some(_), Some(b'^')) => return Ordering::Greater,
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(one), Some(other)) => {
                let numeric = one.is_ascii_digit();
                // A number is newer than a word.
                if numeric != other.is_ascii_digit() {
                    return if numeric {
                        Ordering::Greater
                    } else {
                        Ordering::Less
                    };
                }
                let wanted = |b: u8| {
                    if numeric {
                        b.is_ascii_digit()
                    } else {
                        b.is_ascii_alphabetic()
                    }
                };
                let ((part_a, rest_a), (part_b, rest_b)) = (run(a, wanted), run(b, wanted));
                let order = if numeric {
                    digits(part_a, part_b)
                } else {
                    part_a.cmp(part_b)
                };
                if order.is_ne() {
                    return order;
                }
                (a, b) = (rest_a, rest_b);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(compare: fn(&str, &str) -> Ordering, rows: &[(&str, &str, &str)]) {
        for (a, sign, b) in rows {
            let wanted = match *sign {
                "<" => Ordering::Less,
                "=" => Ordering::Equal,
                _ => Ordering::Greater,
            };
            assert_eq!(compare(a, b), wanted, "{a} {sign} {b}");
            assert_eq!(compare(b, a), wanted.reverse(), "{b} against {a}");
        }
    }

    #[test]
    fn versions_of_dpkg() {
        check(
            deb,
            &[
                ("1.0", "=", "1.0"),
                ("1.0", "<", "1.1"),
                ("1.9", "<", "1.10"),
                ("1.0-1", "<", "1.0-2"),
                ("1.0", "=", "1.0-0"),
                ("1.0~rc1-1", "<", "1.0-1"),
                ("1.0~~", "<", "1.0~"),
                ("1.0~", "<", "1.0"),
                ("1.0~~a", "<", "1.0~"),
                ("1.0", "<", "1.0a"),
                ("1.0a", "<", "1.0+"),
                ("2.0", "<", "1:0.1"),
                ("0:1.0", "=", "1.0"),
                ("1.001", "=", "1.1"),
                ("5.2.15-2+b7", "<", "5.2.15-2+deb12u1"),
                ("5.2.15-2", "<", "5.2.15-2+b7"),
                ("6.1.0-9", "<", "6.1.0-10"),
                ("1.2-3-4", "<", "1.2-4-1"),
                ("20230311", "<", "20230311+deb12u1"),
                ("99999999999999999999998", "<", "99999999999999999999999"),
                ("", "<", "0a"),
                ("3.0.11-1~deb12u2", "<", "3.0.11-1"),
                ("a:b", "<", "a:c"),
            ],
        );
    }

    #[test]
    fn versions_of_rpm() {
        check(
            rpm,
            &[
                ("1.0", "=", "1.0"),
                ("1.0", "<", "2.0"),
                ("2.0", "<", "2.0.1"),
                ("2.0.1a", "<", "2.0.1b"),
                ("5.5p1", "<", "5.5p10"),
                ("10xyz", "<", "10.1xyz"),
                ("xyz10", "<", "xyz10.1"),
                ("xyz.4", "<", "8"),
                ("xyz.4", "<", "2"),
                ("5.5p2", "<", "5.6p1"),
                ("6.0", "<", "6.0.rc1"),
                ("10b2", ">", "10a1"),
                ("1.0aa", ">", "1.0a"),
                ("10.0001", "=", "10.1"),
                ("20101121", "<", "20101122"),
                ("2_0", "=", "2.0"),
                ("a+", "=", "a_"),
                ("1.0~rc1", "<", "1.0"),
                ("1.0~rc1", "<", "1.0~rc2"),
                ("1.0~rc1~git1", "<", "1.0~rc1"),
                ("1.0^", ">", "1.0"),
                ("1.0^git1", "<", "1.0^git2"),
                ("1.0^git1", "<", "1.01"),
                ("1.0^20160101", "<", "1.0.1"),
                ("1.0~rc1^git1", ">", "1.0~rc1"),
                ("1.0^git1~pre", "<", "1.0^git1"),
                ("1:1.0-1", ">", "2.0-1"),
                ("1.0-1.fc40", "<", "1.0-2.fc40"),
                ("1.0-1.fc40", "=", "1.0"),
            ],
        );
    }

    #[test]
    fn any_two_texts_have_one_order() {
        let texts = [
            "", "~", "^", "-", ":", "1:", ":1", "1-", "ñ", "~~", "^^", "1~^", "0", "00", "a", "\0",
        ];
        for a in texts {
            for b in texts {
                assert_eq!(deb(a, b), deb(b, a).reverse(), "{a:?} {b:?}");
                assert_eq!(rpm(a, b), rpm(b, a).reverse(), "{a:?} {b:?}");
            }
        }
    }
}
