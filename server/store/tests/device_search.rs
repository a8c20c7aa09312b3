//! What conditions find in the search rows, against an evaluator of its own that looks at one device after the other; and
//! that the engines use the indexes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod common;

use chasqui_domain::device_search::{Column, Kind, Op, Query, Term, evaluate, parse};
use chasqui_domain::version::Scheme;
use chasqui_store::device::{self, NewDevice};
use chasqui_store::device_search::{self, SearchRow, Searcher};
use chasqui_store::{Engine, Store, StoreError, registry};
use common::Db;

both_engines!(
    the_engine_finds_what_an_evaluator_of_its_own_finds,
    pages_of_many_and_of_few_are_the_same_list,
    conditions_and_pages_are_driven_by_indexes,
);

/// What is known of one device.
#[derive(Clone, Debug, Default)]
struct Facts {
    cores: Option<i64>,
    ram: Option<i64>,
    reboot: Option<i64>,
    cpu: Option<String>,
    kernel: Option<String>,
}

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % sides
    }

    fn pick<'a>(&mut self, among: &[&'a str]) -> &'a str {
        among[self.roll(among.len())]
    }
}

const CPUS: [&str; 5] = [
    "intel i5-3470",
    "intel i7-9700",
    "amd ryzen 5 50%_x",
    "i5",
    "",
];
const KERNELS: [&str; 4] = ["5.10.0-28-amd64", "6.1.0-18-amd64", "6.1", "10.0.19045"];

fn some<T>(dice: &mut Dice, value: T) -> Option<T> {
    (dice.roll(4) > 0).then_some(value)
}

fn facts(dice: &mut Dice) -> Facts {
    let cores = i64::try_from(dice.roll(5)).unwrap();
    let ram = i64::try_from(1 + dice.roll(4)).unwrap() << 32;
    let reboot = i64::try_from(dice.roll(2)).unwrap();
    let cpu = dice.pick(&CPUS).to_owned();
    let kernel = dice.pick(&KERNELS).to_owned();
    Facts {
        cores: some(dice, cores),
        ram: some(dice, ram),
        reboot: some(dice, reboot),
        cpu: some(dice, cpu),
        kernel: some(dice, kernel),
    }
}

fn query(dice: &mut Dice, depth: usize) -> String {
    let any = ["=", "!=", ":", "<", "<=", ">", ">="];
    match dice.roll(if depth == 0 { 6 } else { 9 }) {
        0 => format!("cores{}{}", dice.pick(&any), dice.roll(5)),
        1 => format!(
            "ram{}{}G",
            dice.pick(&["=", "!=", "<", "<=", ">", ">="]),
            4 * dice.roll(5)
        ),
        2 => format!(
            "cpu{}\"{}\"",
            dice.pick(&["=", "!=", ":"]),
            dice.pick(&["i5", "intel", "%", "_x", "zz", "i5-3470"])
        ),
        3 => format!(
            "kernel{}{}",
            dice.pick(&["=", "!=", "<", "<=", ">", ">="]),
            dice.pick(&["6.1", "5.10.0-28-amd64", "7"])
        ),
        4 => format!(
            "reboot{}{}",
            dice.pick(&[":", "!="]),
            dice.pick(&["yes", "no"])
        ),
        5 => format!(
            "{}:{}",
            dice.pick(&["cores", "ram", "cpu", "kernel", "reboot"]),
            dice.pick(&["?", "*"])
        ),
        6 => format!("-({})", query(dice, depth - 1)),
        7 => format!("({} {})", query(dice, depth - 1), query(dice, depth - 1)),
        _ => format!("({} OR {})", query(dice, depth - 1), query(dice, depth - 1)),
    }
}

/// `wanted` when every part is, the contrary when one is that, else not observed.
fn all_of(parts: &[Query], facts: &Facts, wanted: bool) -> Option<bool> {
    let judged: Vec<_> = parts.iter().map(|part| judge(part, facts)).collect();
    if judged.contains(&Some(!wanted)) {
        Some(!wanted)
    } else if judged.contains(&None) {
        None
    } else {
        Some(wanted)
    }
}

/// Three-valued logic for one device; nothing is not observed.
fn judge(query: &Query, facts: &Facts) -> Option<bool> {
    match query {
        Query::Not(part) => judge(part, facts).map(|yes| !yes),
        Query::All(parts) => all_of(parts, facts, true),
        // Either holds when not both fail.
        Query::Any(parts) => all_of(parts, facts, false),
        Query::Term(Term::Word(_)) => panic!("no words here"),
        Query::Term(Term::Field {
            field, op, value, ..
        }) => {
            let number = match field.column {
                Column::Cores => facts.cores,
                Column::Ram => facts.ram,
                Column::Reboot => facts.reboot,
                _ => None,
            };
            let text = match field.column {
                Column::Cpu => facts.cpu.as_deref(),
                Column::Kernel => facts.kernel.as_deref(),
                _ => None,
            };
            let known = number.is_some() || text.is_some();
            match value.as_str() {
                "?" => return Some(!known),
                "*" => return Some(known),
                _ => {}
            }
            let typed = match value.as_str() {
                "yes" => 1,
                "no" => 0,
                size if size.ends_with('G') => {
                    size.trim_end_matches('G').parse::<i64>().unwrap() << 30
                }
                other => other.parse().unwrap_or(0),
            };
            match field.kind {
                Kind::Version => text.map(|text| op.holds(Scheme::Numbers.compare(text, value))),
                Kind::Text => text.map(|text| match op {
                    Op::Has => text.contains(value.as_str()),
                    Op::Is => text == value,
                    _ => text != value,
                }),
                _ => number.map(|number| op.holds(number.cmp(&typed))),
            }
        }
    }
}

fn fill(store: &Store, devices: &[Facts]) -> Vec<String> {
    let devices = devices.to_vec();
    let ids: Vec<String> = devices.iter().map(|_| common::id()).collect();
    let given = ids.clone();
    common::run(store.write(move |tx| {
        for (index, (id, facts)) in given.iter().zip(&devices).enumerate() {
            device::insert(
                tx,
                &NewDevice {
                    id,
                    fingerprint: id,
                    public_key: b"key",
                    host_name: &format!("pc-{:05}", index * 7919 % 10_007),
                    token_id: "",
                    agent_version: "1",
                },
                1_000,
            )?;
            let mut row = SearchRow::default();
            row.host_name = format!("pc-{:05}", index * 7919 % 10_007);
            row.host_key.clone_from(&row.host_name);
            row.words.clone_from(&row.host_name);
            row.number(Column::Cores, facts.cores);
            row.number(Column::Ram, facts.ram);
            row.number(Column::Reboot, facts.reboot);
            row.text(Column::Cpu, facts.cpu.clone());
            row.text(Column::Kernel, facts.kernel.clone());
            device_search::put(tx, id, &row, 1)?;
        }
        Ok::<_, StoreError>(())
    }))
    .unwrap();
    ids
}

fn the_engine_finds_what_an_evaluator_of_its_own_finds(db: &Db) {
    let store = db.open();
    let mut dice = Dice(20_260_101);
    let devices: Vec<Facts> = (0..60).map(|_| facts(&mut dice)).collect();
    let ids = fill(&store, &devices);
    let mut found_some = 0;
    for _ in 0..300 {
        let text = query(&mut dice, 3);
        let query = parse(&text).unwrap();
        let asked = query.clone();
        let found = store
            .read_blocking(move |tx| {
                let set = evaluate(&asked, 0, &mut Searcher::new(tx, |_| 0))?;
                device_search::page(tx, &set, ("", ""), 1_000)
            })
            .map_err(|error: StoreError| error)
            .unwrap();
        let mut found: Vec<&str> = found.iter().map(|found| found.device.id.as_str()).collect();
        found.sort_unstable();
        let mut expected: Vec<&str> = ids
            .iter()
            .zip(&devices)
            .filter(|(_, facts)| judge(&query, facts) == Some(true))
            .map(|(id, _)| id.as_str())
            .collect();
        expected.sort_unstable();
        assert_eq!(found, expected, "{text}");
        found_some += usize::from(!found.is_empty() && found.len() < ids.len());
    }
    assert!(found_some > 150, "only {found_some} queries chose");
}

fn pages_of_many_and_of_few_are_the_same_list(db: &Db) {
    let store = db.open();
    let devices: Vec<Facts> = (0..1_300)
        .map(|index| Facts {
            cores: Some(index % 2),
            ..Facts::default()
        })
        .collect();
    fill(&store, &devices);
    let few = (0..1_300)
        .filter(|index| index * 7919 % 10_007 / 100 == 3)
        .count();
    // More than are sorted, found on the walk; and few, sorted.
    for (text, total, size) in [
        ("cores=1", 650, 97),
        ("cores:*", 1_300, 500),
        ("pc-003", few, 5),
    ] {
        let query = parse(text).unwrap();
        let mut hosts: Vec<String> = Vec::new();
        let mut after = (String::new(), String::new());
        loop {
            let (query, from) = (query.clone(), after.clone());
            let page = store
                .read_blocking(move |tx| {
                    let set = evaluate(&query, 0, &mut Searcher::new(tx, |_| 0))?;
                    device_search::page(tx, &set, (&from.0, &from.1), size)
                })
                .map_err(|error: StoreError| error)
                .unwrap();
            let Some(last) = page.last() else { break };
            after = (last.device.host_name.clone(), last.device.id.clone());
            hosts.extend(page.into_iter().map(|found| found.device.host_name));
        }
        assert!(hosts.is_sorted(), "{text}");
        hosts.dedup();
        assert_eq!(hosts.len(), total, "{text}");
    }
}

/// Statements that must not read a table from end to end, by name.
const DRIVEN: &[&str] = &[
    "columns::RAM_BYTES",
    "columns::CORES",
    "columns::DISK_BYTES",
    "columns::PURCHASE_DAY",
    "columns::ANTIVIRUS_DAY",
    "columns::LAST_SEEN_AT_MS",
    "columns::ENROLLED_AT_MS",
    "columns::ROWS",
    "WALK",
    "TERM",
    "TERMS_LIKE",
    "STALE",
    "MISSING",
    "ORDINAL",
    "columns::CPU_KEY",
    "columns::OS_KEY",
    "columns::PLATE_KEY",
    "columns::WORDS",
    "columns::REBOOT",
    "READ_SECTION",
    "software::PROGRAMS",
    "software::IN_WHOLE_LISTS",
    "software::SHOWING",
    "software::OWN",
];

fn conditions_and_pages_are_driven_by_indexes(db: &Db) {
    let store = db.open();
    let mut dice = Dice(7);
    let devices: Vec<Facts> = (0..3_000).map(|_| facts(&mut dice)).collect();
    fill(&store, &devices);
    db.raw(
        "INSERT INTO device_terms (kind, term, device_id, section)
            SELECT 'ip', host_name, device_id, 'network' FROM device_search;
         INSERT INTO software_lists (id, digest, base_id, item_count, shell)
            SELECT ordinal, device_id, ordinal % 300 + 1, 1, CAST('' AS SHELL_TYPE) FROM device_search;
         UPDATE device_search SET software_list = ordinal, software_base = ordinal % 300 + 1, software_left_out = 1;
         ANALYZE;"
            .replace("SHELL_TYPE", if db.is_postgres() { "BYTEA" } else { "BLOB" })
            .as_str(),
    );
    let mut seen = 0;
    for statement in registry() {
        let name = statement.full_name();
        let Some(name) = name.strip_prefix("chasqui_store::device_search::") else {
            continue;
        };
        if !DRIVEN.contains(&name) {
            continue;
        }
        seen += 1;
        let plan = if db.is_postgres() {
            plan_of_postgres(db, statement.text(Engine::Postgres))
        } else {
            plan_of_sqlite(db, statement.text(Engine::Sqlite))
        };
        for line in plan.lines() {
            let whole =
                line.contains("Seq Scan") || (line.contains("SCAN") && !line.contains("INDEX"));
            // The values of a column, one after the other, are what the plan made itself.
            let whole = whole && line.trim() != "SCAN v";
            assert!(!whole, "{name} reads a whole table:\n{plan}");
        }
        assert!(
            plan.to_uppercase().contains("INDEX") || plan.contains("PRIMARY KEY"),
            "{name}:\n{plan}"
        );
    }
    assert_eq!(seen, DRIVEN.len());
}

fn plan_of_sqlite(db: &Db, text: &str) -> String {
    let path = chasqui_store::sqlite_path(&db.url).unwrap();
    let connection = rusqlite::Connection::open(path).unwrap();
    let mut statement = connection
        .prepare(&format!("EXPLAIN QUERY PLAN {text}"))
        .unwrap();
    // Explained without values, as it is prepared.
    let mut rows = statement.raw_query();
    let mut lines = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        lines.push(row.get::<_, String>(3).unwrap());
    }
    lines.join("\n")
}

/// The plan that serves every parameter, as a statement that is used again and again gets.
fn plan_of_postgres(db: &Db, text: &str) -> String {
    use std::str::FromStr;
    let mut client = ::postgres::Config::from_str(&db.url)
        .unwrap()
        .connect(::postgres::NoTls)
        .unwrap();
    client
        .batch_execute(&format!(
            // A table of this size is read from end to end more cheaply than through an index: what is asked is whether
            // an index can serve, and without one the plan still says Seq Scan.
            "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; PREPARE asked AS {text}"
        ))
        .unwrap();
    let parameters = (1..=99)
        .rev()
        .find(|number| text.contains(&format!("${number}")))
        .unwrap_or(0);
    let nulls = vec!["NULL"; parameters].join(", ");
    let nulls = if parameters == 0 {
        String::new()
    } else {
        format!("({nulls})")
    };
    let rows = client
        .simple_query(&format!("EXPLAIN EXECUTE asked{nulls}"))
        .unwrap();
    rows.iter()
        .filter_map(|row| match row {
            ::postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        })
        .collect::<Vec<_>>()
        .join("\n")
}
