//! Which of two versions is newer. Each source of software has an order of its own: deb (Debian Policy 5.6.12: epoch,
//! upstream version, revision, `~`), rpm (its manual of version comparison: segments, `~` before everything, `^` after the
//! bare version and before anything longer), semantic versions (semver.org 2.0.0, item 11), Windows file versions, and plain
//! numbers such as the year of a product.
//!
//! Every order is total and takes any text: what is no version of the scheme is compared as far as it goes. Pure functions
//! without a bound of their own: they look at each byte once. A crate of its own, so that the agent, who compares what is
//! installed with what apt offers, and the rules of the coordinator have one order; it knows nothing else of ours.

use std::cmp::Ordering;

/// How versions of a source are ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Debian and its kin: `2:1.0~rc1-3+deb12u1`.
    Deb,
    /// Red Hat and its kin, and pacman, which took its order from there: `1:2.3-4.el9`.
    Rpm,
    /// `1.2.3-rc.1+build`; a leading `v` and missing parts are allowed.
    Semver,
    /// Windows and everything numbered with points: `10.0.19045.3803`, `2019`, `16.0.4266`.
    Numbers,
}

impl Scheme {
    /// The order of a source's versions, by the source's name in the software list.
    pub fn of_source(source: &str) -> Self {
        match source {
            "dpkg" | "deb" => Self::Deb,
            "rpm" | "pacman" => Self::Rpm,
            "flatpak" | "snap" | "npm" | "cargo" => Self::Semver,
            _ => Self::Numbers,
        }
    }

    /// How `left` stands to `right`.
    pub fn compare(self, left: &str, right: &str) -> Ordering {
        match self {
            Self::Deb => deb(left, right),
            Self::Rpm => rpm(left, right),
            Self::Semver => semver(left, right),
            Self::Numbers => numbers(left, right),
        }
    }

    /// How an installed version stands to one that a person typed. A person leaves out what does not matter to them: the
    /// epoch of deb and rpm and the packager's release are compared only when the typed version has them, so
    /// `firefox<=115` holds for `1:115-2`.
    pub fn compare_to_typed(self, installed: &str, typed: &str) -> Ordering {
        match self {
            Self::Deb | Self::Rpm => {
                let (_, rest, release) = parts(installed);
                let (typed_epoch, _, typed_release) = parts(typed);
                let mut shown = String::new();
                if typed_epoch.is_some() {
                    return self.compare(installed, typed);
                }
                shown.push_str(rest);
                if let (Some(release), Some(_)) = (release, typed_release) {
                    shown.push('-');
                    shown.push_str(release);
                }
                self.compare(&shown, typed)
            }
            Self::Semver | Self::Numbers => self.compare(installed, typed),
        }
    }
}

/// Epoch, version and release of a deb or rpm version.
fn parts(text: &str) -> (Option<&str>, &str, Option<&str>) {
    let (epoch, rest) = match text.split_once(':') {
        Some((epoch, rest)) if !epoch.is_empty() && digits(epoch) => (Some(epoch), rest),
        _ => (None, text),
    };
    match rest.rsplit_once('-') {
        Some((version, release)) => (epoch, version, Some(release)),
        None => (epoch, rest, None),
    }
}

fn digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Digits as a number of any length.
fn by_number(left: &str, right: &str) -> Ordering {
    let (left, right) = (left.trim_start_matches('0'), right.trim_start_matches('0'));
    left.len().cmp(&right.len()).then_with(|| left.cmp(right))
}

/// The beginning of a text that fits, and the rest.
fn take(text: &str, fits: impl Fn(u8) -> bool) -> (&str, &str) {
    let end = text
        .bytes()
        .position(|byte| !fits(byte))
        .unwrap_or(text.len());
    // `fits` is asked of ASCII alone, or of everything but ASCII digits: the cut never falls inside a character.
    text.split_at_checked(end).unwrap_or((text, ""))
}

/// Order of two versions of dpkg, `[epoch:]upstream[-revision]`. What is not a number before the first colon belongs to the
/// upstream version.
pub fn deb(left: &str, right: &str) -> Ordering {
    let (left, right) = (parts(left.trim()), parts(right.trim()));
    by_number(left.0.unwrap_or("0"), right.0.unwrap_or("0"))
        .then_with(|| deb_part(left.1, right.1))
        // An absent revision is the revision "0".
        .then_with(|| deb_part(left.2.unwrap_or("0"), right.2.unwrap_or("0")))
}

fn deb_part(mut left: &str, mut right: &str) -> Ordering {
    while !left.is_empty() || !right.is_empty() {
        let (words_a, rest_a) = take(left, |byte| !byte.is_ascii_digit());
        let (words_b, rest_b) = take(right, |byte| !byte.is_ascii_digit());
        let (words_a, words_b) = (words_a.as_bytes(), words_b.as_bytes());
        for at in 0..words_a.len().max(words_b.len()) {
            let order = deb_weight(words_a.get(at)).cmp(&deb_weight(words_b.get(at)));
            if order.is_ne() {
                return order;
            }
        }
        let (number_a, rest_a) = take(rest_a, |byte| byte.is_ascii_digit());
        let (number_b, rest_b) = take(rest_b, |byte| byte.is_ascii_digit());
        let order = by_number(number_a, number_b);
        if order.is_ne() {
            return order;
        }
        (left, right) = (rest_a, rest_b);
    }
    Ordering::Equal
}

/// The end of a part weighs more than `~` and less than anything else; letters less than other signs.
fn deb_weight(byte: Option<&u8>) -> i32 {
    match byte {
        Some(b'~') => -1,
        None => 0,
        Some(byte) if byte.is_ascii_alphabetic() => i32::from(*byte),
        Some(byte) => i32::from(*byte) + 256,
    }
}

fn rpm(left: &str, right: &str) -> Ordering {
    let (left, right) = (parts(left.trim()), parts(right.trim()));
    by_number(left.0.unwrap_or("0"), right.0.unwrap_or("0"))
        .then_with(|| rpm_part(left.1, right.1))
        .then_with(|| match (left.2, right.2) {
            (Some(left), Some(right)) => rpm_part(left, right),
            // rpm compares releases only where both have one; so that the order is total, none comes first.
            (left, right) => left.is_some().cmp(&right.is_some()),
        })
}

fn rpm_part<'a>(mut left: &'a str, mut right: &'a str) -> Ordering {
    loop {
        let skip = |text: &'a str| {
            take(text, |b| {
                !b.is_ascii_alphanumeric() && b != b'~' && b != b'^'
            })
            .1
        };
        (left, right) = (skip(left), skip(right));
        // `~` sorts before everything, even the end; `^` after the end and before everything else.
        match (left.strip_prefix('~'), right.strip_prefix('~')) {
            (Some(a), Some(b)) => {
                (left, right) = (a, b);
                continue;
            }
            (Some(_), None) => return Ordering::Less,
            (None, Some(_)) => return Ordering::Greater,
            (None, None) => {}
        }
        match (left.strip_prefix('^'), right.strip_prefix('^')) {
            (Some(a), Some(b)) => {
                (left, right) = (a, b);
                continue;
            }
            (Some(_), None) if right.is_empty() => return Ordering::Greater,
            (Some(_), None) => return Ordering::Less,
            (None, Some(_)) if left.is_empty() => return Ordering::Less,
            (None, Some(_)) => return Ordering::Greater,
            (None, None) => {}
        }
        if left.is_empty() || right.is_empty() {
            // The one with more segments is newer.
            return right.is_empty().cmp(&left.is_empty());
        }
        let number = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
        let order = match (number(left), number(right)) {
            (true, false) => return Ordering::Greater,
            (false, true) => return Ordering::Less,
            (true, true) => {
                let (a, rest_a) = take(left, |b| b.is_ascii_digit());
                let (b, rest_b) = take(right, |b| b.is_ascii_digit());
                (left, right) = (rest_a, rest_b);
                by_number(a, b)
            }
            (false, false) => {
                let (a, rest_a) = take(left, |b| b.is_ascii_alphabetic());
                let (b, rest_b) = take(right, |b| b.is_ascii_alphabetic());
                (left, right) = (rest_a, rest_b);
                a.cmp(b)
            }
        };
        if order.is_ne() {
            return order;
        }
    }
}

fn semver(left: &str, right: &str) -> Ordering {
    fn split(text: &str) -> (&str, Option<&str>) {
        let text = text.trim_start_matches(['v', 'V']);
        // Build metadata has no precedence.
        let text = text.split_once('+').map_or(text, |(before, _)| before);
        match text.split_once('-') {
            Some((core, pre)) => (core, Some(pre)),
            None => (text, None),
        }
    }
    let ((core_a, pre_a), (core_b, pre_b)) = (split(left), split(right));
    numbers(core_a, core_b).then_with(|| match (pre_a, pre_b) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (Some(a), Some(b)) => identifiers(a, b),
    })
}

fn identifiers(left: &str, right: &str) -> Ordering {
    let (mut left, mut right) = (left.split('.'), right.split('.'));
    loop {
        let order = match (left.next(), right.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(a), Some(b)) => match (digits(a), digits(b)) {
                (true, true) => by_number(a, b),
                (true, false) => Ordering::Less,
                (false, true) => Ordering::Greater,
                (false, false) => a.cmp(b),
            },
        };
        if order.is_ne() {
            return order;
        }
    }
}

/// Numbers between points, any other sign parting too; a missing number is 0, letters come after numbers and sort by
/// themselves: `16.0.4266`, `10.0.19045.3803`, `2019`, `8u401`.
fn numbers<'a>(mut left: &'a str, mut right: &'a str) -> Ordering {
    loop {
        let skip = |text: &'a str| take(text, |b| !b.is_ascii_alphanumeric()).1;
        (left, right) = (skip(left), skip(right));
        if left.is_empty() && right.is_empty() {
            return Ordering::Equal;
        }
        let word = |text: &str| text.starts_with(|c: char| c.is_ascii_alphabetic());
        let order = match (word(left), word(right)) {
            (true, true) => {
                let (a, rest_a) = take(left, |b| b.is_ascii_alphabetic());
                let (b, rest_b) = take(right, |b| b.is_ascii_alphabetic());
                (left, right) = (rest_a, rest_b);
                a.to_ascii_lowercase().cmp(&b.to_ascii_lowercase())
            }
            // `1.0b` is after `1.0` and before `1.1`. An end is as good as 0, so letters weigh more than any number, or
            // `1.0`, `1.0b` and `1.0.0` would go round in a ring.
            (true, false) => return Ordering::Greater,
            (false, true) => return Ordering::Less,
            (false, false) => {
                let (a, rest_a) = take(left, |b| b.is_ascii_digit());
                let (b, rest_b) = take(right, |b| b.is_ascii_digit());
                (left, right) = (rest_a, rest_b);
                by_number(a, b)
            }
        };
        if order.is_ne() {
            return order;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SCHEMES: [Scheme; 4] = [Scheme::Deb, Scheme::Rpm, Scheme::Semver, Scheme::Numbers];

    #[track_caller]
    fn ascending(scheme: Scheme, versions: &[&str]) {
        for (i, a) in versions.iter().enumerate() {
            for (j, b) in versions.iter().enumerate() {
                assert_eq!(scheme.compare(a, b), i.cmp(&j), "{scheme:?}: {a} and {b}");
            }
        }
    }

    #[track_caller]
    fn equal(scheme: Scheme, pairs: &[(&str, &str)]) {
        for (a, b) in pairs {
            assert_eq!(
                scheme.compare(a, b),
                Ordering::Equal,
                "{scheme:?}: {a} and {b}"
            );
        }
    }

    #[test]
    fn deb_versions() {
        ascending(
            Scheme::Deb,
            &[
                "1.0~~",
                "1.0~~a",
                "1.0~",
                "1.0~rc1-1",
                "1.0",
                "1.0-1~bpo12+1",
                "1.0-1",
                "1.0-1+b1",
                "1.0-1+deb12u1",
                "1.0-1.1",
                "1.0-2",
                "1.0a",
                "1.0+dfsg-1",
                "1.0.1",
                "1.2",
                "1.10",
                "1.10.1",
                "2:0.1",
                "10:0.1",
            ],
        );
        equal(
            Scheme::Deb,
            &[
                ("1.0", "0:1.0-0"),
                ("1.001", "1.1"),
                ("1.0", "1.0-0"),
                ("", "0"),
            ],
        );
        // Hyphens belong to the version but for the last one.
        ascending(Scheme::Deb, &["1-2-1", "1-2-3", "1-10-1"]);
    }

    #[test]
    fn rpm_versions() {
        ascending(
            Scheme::Rpm,
            &[
                "1.0~rc1",
                "1.0~rc2",
                "1.0",
                "1.0-1.el8",
                "1.0-1.el9",
                "1.0-2.el8",
                "1.0^git1",
                "1.0.1",
                "1.2",
                "1.10",
                "2.a",
                "2.0",
                "1:0.1",
            ],
        );
        equal(
            Scheme::Rpm,
            &[
                ("1.0", "1_0"),
                ("1.05", "1.5"),
                ("0:1.0", "1.0"),
                ("2.0.1a", "2.0.1.a"),
                ("xyz.4", "xyz_4"),
            ],
        );
        ascending(Scheme::Rpm, &["5.5p1", "5.5p2", "5.5p10", "5.6p1"]);
        ascending(
            Scheme::Rpm,
            &["1.0~rc1", "1.0~rc1^git1", "1.0", "1.0^git1~pre", "1.0^git1"],
        );
    }

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
    fn pairs_of_dpkg() {
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
    fn pairs_of_rpm() {
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
                // The order is total, so that no release comes first; what people type goes without (see below).
                ("1.0-1.fc40", ">", "1.0"),
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

    #[test]
    fn semantic_versions() {
        ascending(
            Scheme::Semver,
            &[
                "1.0.0-alpha",
                "1.0.0-alpha.1",
                "1.0.0-alpha.beta",
                "1.0.0-beta",
                "1.0.0-beta.2",
                "1.0.0-beta.11",
                "1.0.0-rc.1",
                "1.0.0",
                "1.0.1",
                "1.2.0",
                "1.10.0",
                "2.0.0",
            ],
        );
        equal(
            Scheme::Semver,
            &[("v1.2", "1.2.0"), ("1.0.0+a", "1.0.0+b"), ("1", "1.0.0")],
        );
    }

    #[test]
    fn windows_versions_and_years() {
        ascending(
            Scheme::Numbers,
            &[
                "6.1.7601",
                "10.0.19041",
                "10.0.19045.3803",
                "10.0.19045.10000",
                "10.0.22631",
                "16.0.4266",
                "2016",
                "2019",
                "2021",
            ],
        );
        ascending(Scheme::Numbers, &["8u9", "8u401", "9"]);
        ascending(Scheme::Numbers, &["1.0", "1.0b", "1.1"]);
        equal(
            Scheme::Numbers,
            &[("10.0", "10"), ("16.0.0.0", "16"), ("1,2", "1.2")],
        );
    }

    #[test]
    fn what_a_person_leaves_out_does_not_count() {
        for (scheme, installed, typed, order) in [
            (Scheme::Deb, "1:115.0-2~deb12u1", "115.0", Ordering::Equal),
            (Scheme::Deb, "1:115.0-2", "115.0-3", Ordering::Less),
            (Scheme::Deb, "1:115.0-2", "2:1", Ordering::Less),
            (Scheme::Deb, "1:115.0-2", "116", Ordering::Less),
            (Scheme::Deb, "1:1.0~rc1-1", "1.0", Ordering::Less),
            (Scheme::Rpm, "1:7.4.2-1.el9", "7.4.2", Ordering::Equal),
            (Scheme::Rpm, "7.4.2-1.el9", "7.5", Ordering::Less),
            (Scheme::Rpm, "1.0-1.fc40", "1.0", Ordering::Equal),
            (Scheme::Numbers, "16.0.4266.1001", "2019", Ordering::Less),
            (Scheme::Semver, "1.2.3-rc.1", "1.2.3", Ordering::Less),
        ] {
            assert_eq!(
                scheme.compare_to_typed(installed, typed),
                order,
                "{installed} {typed}"
            );
        }
    }

    #[test]
    fn a_source_has_its_scheme() {
        for (source, scheme) in [
            ("dpkg", Scheme::Deb),
            ("rpm", Scheme::Rpm),
            ("pacman", Scheme::Rpm),
            ("flatpak", Scheme::Semver),
            ("snap", Scheme::Semver),
            ("registry", Scheme::Numbers),
            ("", Scheme::Numbers),
        ] {
            assert_eq!(Scheme::of_source(source), scheme, "{source}");
        }
    }

    proptest! {
        #[test]
        fn every_order_is_one(
            a in "[0-9a-cA.:~^+_ñ-]{0,12}", b in "[0-9a-cA.:~^+_ñ-]{0,12}", c in "[0-9a-cA.:~^+_ñ-]{0,12}"
        ) {
            for scheme in SCHEMES {
                prop_assert_eq!(scheme.compare(&a, &a), Ordering::Equal);
                prop_assert_eq!(scheme.compare(&a, &b), scheme.compare(&b, &a).reverse());
                if scheme.compare(&a, &b).is_le() && scheme.compare(&b, &c).is_le() {
                    prop_assert!(scheme.compare(&a, &c).is_le(), "{:?} {} {} {}", scheme, a, b, c);
                }
            }
        }

        #[test]
        fn any_text_is_compared(a in "\\PC{0,40}", b in "\\PC{0,40}") {
            for scheme in SCHEMES {
                let _ = scheme.compare_to_typed(&a, &b);
            }
        }
    }
}
