//! Every reader of the coordinator that takes what somebody else wrote, by name, for the fuzzers: the bounded run of every
//! build and cargo-fuzz under `tests/fuzz` both walk this table. A reader passes when it neither panics nor hangs, and
//! when what it made of the bytes stays within its bounds.
//!
//! | what is read | targets |
//! |---|---|
//! | GLPI's protocol: JSON, XML, the compression around them | `glpi_json`, `glpi_xml`, `glpi_body` |
//! | queries people type, with saved lists put in | `device_query` |
//! | a spreadsheet's headings and rows | `import_sheet` |
//! | versions of programs | `versions` |
//! | lists of programs as differences | `item_list` |

use std::convert::Infallible;

use chasqui_base::item_list;
use chasqui_domain::device_facts::Facts;
use chasqui_domain::device_import;
use chasqui_domain::device_search::{self, Field, Set, Source, Test};
use chasqui_domain::search::fold;
use chasqui_domain::version::Scheme;

use crate::glpi::{self, Action, Form};
use crate::web::glpi::body::{self, Compression};

/// A reader under test.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Names it to the fuzzer.
    pub name: &'static str,
    /// What it reads, several of them where it reads several kinds.
    pub samples: &'static [&'static [u8]],
    /// Reads the bytes.
    pub run: fn(&[u8]),
}

/// A time for what is relative to now.
const NOW_MS: i64 = 1_780_000_000_000;

/// All of them, sorted by name.
pub static TARGETS: &[Target] = &[
    Target {
        name: "device_query",
        samples: &[
            b"cpu:i5 ram<8G os:\"Windows 10\" software:\"office<2019\" seen>30d",
            b"-(host:pc-* OR plate=DEMO-1) list:viejos age>=5y",
            b"ram:4G..8G disk>=256GB warranty<2026-01-01",
        ],
        run: |bytes| query(&text(bytes)),
    },
    Target {
        name: "glpi_body",
        samples: &[
            b"{\"deviceid\":\"pc-1\",\"action\":\"contact\"}",
            b"\x78\x9c\xab\x56\x4a\x49\x2d\xcb\x4c\x4e\xcd\x4c\x51\xb2\x52\x2a\x48\xd6\x35\x54\xaa\
\x05\x00\x3d\x6a\x05\xe2",
            b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x03\0\0\0\0\0\0\0\0\0",
        ],
        run: |bytes| {
            let kinds = [
                Compression::of(bytes),
                Compression::Zlib,
                Compression::Gzip,
                Compression::Deflate,
            ];
            for kind in kinds {
                if let Ok(plain) = body::inflate(kind, bytes) {
                    assert!(plain.len() <= glpi::MAX_MESSAGE_BYTES);
                }
            }
        },
    },
    Target {
        name: "glpi_json",
        samples: &[
            br#"{"deviceid":"pc-2026-01-01","action":"inventory","itemtype":"Computer",
"partial":true,"tag":"A","content":{"versionclient":"GLPI-Agent_v1.7","hardware":{"name":"pc",
"memory":8192,"uuid":"4C4C4544-0042-3010-8052-B4C04F4D3132"},"bios":{"ssn":"ABC",
"mmanufacturer":"Dell Inc.","bdate":"2019-05-20"},"cpus":[{"name":"Intel(R) Core(TM) i5",
"core":4,"speed":2600}],"memories":[{"capacity":4096,"numslots":1,"serialnumber":"X1"}],
"storages":[{"name":"sda","disksize":256060,"type":"SSD","serial":"S1"}],
"drives":[{"total":1000,"free":10,"volumn":"/dev/sda1","type":"/"}],"networks":[{"description":"eth0",
"macaddr":"00:11:22:33:44:55","ipaddress":"10.0.0.5","ipmask":"255.255.255.0"}],
"softwares":[{"name":"bash","version":"5.2","from":"deb","filesize":7000000,
"installdate":"2024-01-02"}],"operatingsystem":{"name":"Debian","full_name":"Debian GNU/Linux 12",
"timezone":{"name":"America/Bogota","offset":"-0500"},"boot_time":"2026-05-01 08:00:00"},
"users":[{"login":"ana"}],"monitors":[{"name":"LV2011","base64":"AP///////wA="}],
"batteries":[{"capacity":50000,"real_capacity":41000}]}}"#,
            br#"{"deviceid":"x","action":"contact","enabled-tasks":["inventory"]}"#,
        ],
        run: |bytes| message(bytes, Form::Json),
    },
    Target {
        name: "glpi_xml",
        samples: &[
            b"<?xml version=\"1.0\" encoding=\"UTF-8\" ?>\n<REQUEST>\n  <CONTENT>\n    <HARDWARE><\
NAME>pc</NAME><MEMORY>8192</MEMORY></HARDWARE>\n    <BIOS><SSN>ABC</SSN><BDATE>05/20\
/2019</BDATE></BIOS>\n    <CPUS><NAME>i5 &amp; co</NAME><CORE>4</CORE></CPUS>\n    <\
SOFTWARES><NAME>bash</NAME><VERSION>5.2</VERSION></SOFTWARES>\n    <SOFTWARES><NAME>\
dash</NAME></SOFTWARES>\n    <ACCOUNTINFO><KEYNAME>TAG</KEYNAME><KEYVALUE>A</KEYVALU\
E></ACCOUNTINFO>\n  </CONTENT>\n  <DEVICEID>pc-2026-01-01</DEVICEID>\n  <QUERY>INVEN\
TORY</QUERY>\n</REQUEST>\n",
            b"<REQUEST><DEVICEID>x</DEVICEID><QUERY>PROLOG</QUERY></REQUEST>",
            b"<!DOCTYPE a [<!ENTITY b \"c\">]><REQUEST><DEVICEID>&b;</DEVICEID></REQUEST>",
        ],
        run: |bytes| message(bytes, Form::Xml),
    },
    Target {
        name: "import_sheet",
        samples: &[
            b"Serial;Placa;Dependencia;Costo;Moneda;Fecha de compra\n\
ABC;P-1;Jur\xc3\xaddica;1.200.000;COP;20/05/2019\n;P-2;;12,5;;2019-13-45\n",
            b"id;host_name;warranty_end\n01a20a00-6f35-713b-ad7d-a092364ba70c;pc-03;2026-02-30\n",
        ],
        run: |bytes| sheet(&text(bytes)),
    },
    Target {
        name: "item_list",
        samples: &[b"\x0a\x04bash\x0a\x04dash\x12\x01x", b"\x0a\x00\x0a\x01a"],
        run: |bytes| {
            if let Some(parts) = item_list::split(bytes, 1) {
                let again = item_list::join(&parts.shell, &parts.items);
                // What was taken apart can be put together; the same bytes only where the shell stood around the items.
                assert!(again.is_some_and(|again| again.len() <= bytes.len()));
            }
        },
    },
    Target {
        name: "versions",
        samples: &[
            b"1:2.0~rc1-3+deb12u1\n1:2.0-3",
            b"1.0^git1~pre\n1.0^git1",
            b"1.0.0-alpha.1+b\n1.0.0",
            b"10.0.19045.3803\n10.0.19045",
        ],
        run: |bytes| {
            let text = text(bytes);
            let (left, right) = text.split_once('\n').unwrap_or((&text, ""));
            for scheme in [Scheme::Deb, Scheme::Rpm, Scheme::Semver, Scheme::Numbers] {
                let order = scheme.compare(left, right);
                assert_eq!(order, scheme.compare(right, left).reverse());
                let _ = scheme.compare_to_typed(left, right);
            }
        },
    },
];

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A message as the endpoint takes it, with its inventory mapped as a first one and as a change.
fn message(bytes: &[u8], form: Form) {
    if glpi::form_of(bytes) != form {
        return;
    }
    let Ok(message) = glpi::decode(bytes) else {
        return;
    };
    let Action::Inventory(inventory) = message.action else {
        return;
    };
    let client = glpi::client(&inventory.content);
    let source = glpi::origin(&client);
    let mut before = glpi::Before::new();
    for partial in [false, true] {
        let report = glpi::report(&inventory.content, partial, &before, source, NOW_MS);
        for section in report.sections {
            let facts =
                <chasqui_proto::v1::SectionFacts as prost::Message>::decode(section.facts.clone());
            assert!(facts.is_ok(), "a section of ours cannot be read");
            before.extend(facts.ok().map(|facts| (section.kind(), facts)));
        }
    }
}

/// A query as it is taken: understood or pointed at, written again, its lists put in, and answered for three devices.
fn query(text: &str) {
    let query = match device_search::parse(text) {
        Ok(query) => query,
        Err(error) => {
            drop(error.caret(text));
            return;
        }
    };
    // What was understood is understood again as it is written.
    let written = query.to_string();
    assert_eq!(
        device_search::parse(&written).as_ref(),
        Ok(&query),
        "{written}"
    );
    let mut lists = |_: &str| Ok::<_, Infallible>(Some("ram<8G OR list:otros".to_owned()));
    drop(device_search::expand(&query, &mut lists));
    drop(device_search::evaluate(&query, NOW_MS, &mut Three));
}

/// Three devices, of which the second has whatever is asked for and the third cannot tell.
struct Three;

impl Source for Three {
    type Error = Infallible;

    fn all(&mut self) -> Result<Set, Infallible> {
        Ok((1..=3).collect())
    }

    fn known(&mut self, _: &'static Field) -> Result<Set, Infallible> {
        Ok((1..=2).collect())
    }

    fn matching(&mut self, _: &'static Field, test: &Test) -> Result<Set, Infallible> {
        if let Test::Program(wanted) = test {
            let _ = device_search::program::fits(wanted, "office 2019", "16.0.4266", "dpkg");
        }
        Ok([2].into_iter().collect())
    }

    fn word(&mut self, word: &str) -> Result<Set, Infallible> {
        drop(fold(word));
        Ok([2].into_iter().collect())
    }
}

fn sheet(text: &str) {
    let mut lines = text
        .lines()
        .map(|line| line.split(';').map(str::to_owned).collect::<Vec<_>>());
    let Some(headings) = lines.next() else { return };
    let Ok(columns) = device_import::columns(&headings, &[]) else {
        return;
    };
    for (line, cells) in (2..).zip(lines) {
        let Ok(row) = device_import::row(line, &cells, &headings, &columns) else {
            continue;
        };
        if let Ok(facts) = row.apply(&Facts::default(), NOW_MS) {
            let _ = row.apply(&facts, NOW_MS);
        }
    }
}
