//! What people decide about devices (a spreadsheet's facts, a merge, a split) through a crash in the middle: on disk is all of
//! it or nothing, and asking again ends as it would have.

use chasqui_proto::error::reason_of;
use chasqui_proto::v1::section_facts::Facts;
use chasqui_proto::v1::{
    AdministrativeFacts, DeviceMatchDecision, DeviceState, IdentityFacts,
    ImportAdministrativeFactsRequest, ImportRow, ListDeviceMatchesRequest, ReportInventoryRequest,
    ResolveDeviceMatchRequest, Section, SectionFacts, SectionKind, SplitDeviceRequest,
};
use chasqui_tests::Simulated;
use chasqui_tests::simulated::Stream;
use prost::Message as _;
use tonic::Status;

use super::*;

/// A machine, and what it became when it was installed anew.
struct Pair {
    number: usize,
    old: Simulated,
    new: Simulated,
    match_id: String,
}

async fn report(stream: &mut Stream, serial: &str) -> Result<()> {
    let facts = SectionFacts {
        facts: Some(Facts::Identity(IdentityFacts {
            smbios_uuid: Some("4c4c4544-0031-3210-8050-b4c04f564433".to_owned()),
            system_serial: Some(serial.to_owned()),
            ..IdentityFacts::default()
        })),
        unread: Vec::new(),
    }
    .encode_to_vec();
    let section = Section {
        kind: SectionKind::Identity.into(),
        digest: Digest::of(&facts).0.to_vec().into(),
        facts: facts.into(),
        observed_at_ms: clock::now_ms(),
        collector_version: 1,
        ..Section::default()
    };
    stream
        .link
        .report_inventory(ReportInventoryRequest {
            request_id: id(),
            sections: vec![section],
            differences: Vec::new(),
        })
        .await?;
    Ok(())
}

/// Both machines, silent, and proposed to people as one.
async fn pair(world: &mut World, number: usize) -> Result<Pair> {
    let token = world.fleet.token(2).await?;
    let serial = format!("BTQ4D3{number}");
    let mut machines = Vec::new();
    for name in ["viejo", "nuevo"] {
        let name = format!("pc-{name}-{number}");
        let machine = Simulated::enrol(&world.fleet, &token, &name).await?;
        let mut stream = machine.connect(&format!("boot-{name}")).await?;
        report(&mut stream, &serial).await?;
        drop(stream);
        wait_until("the machine to be silent", PATIENCE, async || {
            let device = world.fleet.device(&machine.device_id).await?;
            Ok((!device.connected).then_some(()))
        })
        .await?;
        machines.push(machine);
    }
    let [old, new] = machines.try_into().ok().context("two machines")?;
    let match_id = wait_until("the proposal", PATIENCE, async || {
        let matches = world.fleet.admin.devices();
        let matches = { matches }
            .list_device_matches(ListDeviceMatchesRequest::default())
            .await?
            .into_inner()
            .matches;
        let ours = matches.into_iter().find(|one| {
            let is = |device: &Option<chasqui_proto::v1::Device>, id: &str| {
                device.as_ref().is_some_and(|device| device.id == id)
            };
            is(&one.a, &new.device_id) && is(&one.b, &old.device_id)
        });
        Ok(ours.map(|one| one.id))
    })
    .await?;
    Ok(Pair {
        number,
        old,
        new,
        match_id,
    })
}

impl Pair {
    /// Facts of both, of which the old one's plate goes over to the new one with a merge.
    fn sheet(&self) -> ImportAdministrativeFactsRequest {
        let row = |line, cells: [String; 3]| ImportRow {
            line,
            cells: cells.to_vec(),
        };
        let (old, new) = (self.old.device_id.clone(), self.new.device_id.clone());
        let place = format!("Piso {}", self.number);
        ImportAdministrativeFactsRequest {
            request_id: id(),
            headings: ["id", "plate", "dependency"].map(str::to_owned).to_vec(),
            rows: vec![
                row(2, [old, format!("100-{}", self.number), place.clone()]),
                row(3, [new, String::new(), place]),
            ],
            ..ImportAdministrativeFactsRequest::default()
        }
    }

    /// How much of the import is on disk, behind the coordinator's back: rows of the tables, and of the record.
    fn imported(&self, world: &World) -> Result<(i64, i64)> {
        let behind = world.fleet.server.behind()?;
        let ids = [&self.old.device_id, &self.new.device_id];
        let count = |sql: &str| behind.query_row(sql, ids, |row| row.get(0));
        Ok((
            count("SELECT COUNT(*) FROM devices WHERE id IN (?1, ?2) AND dependency <> ''")?,
            count(
                "SELECT COUNT(*) FROM events WHERE subject_id IN (?1, ?2) AND kind = 'device.facts_set'",
            )?,
        ))
    }

    /// Every trace of a merge that stands: the retired device, where it points, the merge that was not undone, the plate
    /// on the one that goes on, the decision. All of them or none.
    fn merged(&self, world: &World) -> Result<[bool; 5]> {
        let behind = world.fleet.server.behind()?;
        let is = |sql: &str, of: &str| behind.query_row(sql, [of], |row| row.get::<_, bool>(0));
        Ok([
            is(
                "SELECT state = 'retired' FROM devices WHERE id = ?1",
                &self.old.device_id,
            )?,
            is(
                "SELECT merged_into IS NOT NULL FROM devices WHERE id = ?1",
                &self.old.device_id,
            )?,
            is(
                "SELECT COUNT(*) = 1 FROM device_merges WHERE retired_id = ?1 AND split_at_ms IS NULL",
                &self.old.device_id,
            )?,
            is(
                "SELECT plate <> '' FROM devices WHERE id = ?1",
                &self.new.device_id,
            )?,
            is(
                "SELECT state = 'merged' FROM device_matches WHERE id = ?1",
                &self.match_id,
            )?,
        ])
    }
}

/// Makes a call until it is answered, looking at the disk after the crash. A decision that stood on disk when its answer was
/// lost is answered with `taken`.
async fn decided<T>(
    world: &mut World,
    crash: &mut Crash,
    taken: &str,
    whole: impl Fn(&World) -> Result<bool>,
    call: impl AsyncFn(&World) -> Result<T, Status>,
) -> Result<()> {
    let begun = clock::monotonic();
    let mut stood = false;
    loop {
        match call(world).await {
            Ok(_) => return Ok(()),
            Err(status) if stood && reason_of(&status).as_deref() == Some(taken) => return Ok(()),
            Err(status) => chasqui_tests::case::repeatable(&status, begun)?,
        }
        let before = crash.reached;
        world.revive(crash).await?;
        if crash.reached && !before {
            stood = whole(world)?;
        }
    }
}

async fn through(world: &mut World, crash: &mut Crash, number: usize) -> Result<()> {
    let pair = pair(world, number).await?;
    // The plate of the old machine must not be the new one's before the merge.
    ensure!(pair.merged(world)? == [false; 5]);
    world.arm(crash).await?;

    let sheet = pair.sheet();
    let all_rows = |world: &World| match pair.imported(world)? {
        (0, 0) => Ok(false),
        (2, 2) => Ok(true),
        half => anyhow::bail!("half an import: {half:?}"),
    };
    decided(world, crash, "", all_rows, async |world| {
        let devices = world.fleet.admin.devices();
        { devices }.import_administrative_facts(sheet.clone()).await
    })
    .await?;
    ensure!(all_rows(world)?, "the import is lost");

    let all_of_it = |world: &World| match pair.merged(world)? {
        [true, true, true, true, true] => Ok(true),
        [false, false, false, false, false] => Ok(false),
        half => anyhow::bail!("half a merge: {half:?}"),
    };
    decided(
        world,
        crash,
        "DEVICE_MATCH_RESOLVED",
        all_of_it,
        async |world| {
            let devices = world.fleet.admin.devices();
            { devices }
                .resolve_device_match(ResolveDeviceMatchRequest {
                    match_id: pair.match_id.clone(),
                    decision: DeviceMatchDecision::Merge.into(),
                    reason: "reinstalado ayer".to_owned(),
                    ..ResolveDeviceMatchRequest::default()
                })
                .await
        },
    )
    .await?;
    ensure!(all_of_it(world)?, "the merge is lost");
    // A device that a merge retired is refused, also by a coordinator that crashed right after.
    let refused = pair.old.connect("boot-x").await;
    ensure!(
        refused
            .is_err_and(|error| chasqui_tests::simulated::refusal(&error).as_deref()
                == Some("DEVICE_REVOKED")),
        "the retired machine was let in"
    );

    decided(
        world,
        crash,
        "DEVICE_NOT_MERGED",
        all_of_it_or_apart(&pair),
        async |world| {
            let devices = world.fleet.admin.devices();
            { devices }
                .split_device(SplitDeviceRequest {
                    device_id: pair.old.device_id.clone(),
                    reason: "era otro".to_owned(),
                })
                .await
        },
    )
    .await?;
    ensure!(pair.merged(world)? == [false; 5], "the split is lost");
    ensure!(crash.reached, "this scenario never passes this point");
    // Both as they were before, each with what it was given.
    for (machine, plate) in [
        (&pair.old, format!("100-{number}")),
        (&pair.new, String::new()),
    ] {
        let device = world.fleet.device(&machine.device_id).await?;
        let facts: AdministrativeFacts = device.administrative.clone().unwrap_or_default();
        ensure!(device.state() == DeviceState::Active, "{device:?}");
        ensure!(
            facts.plate == plate && facts.dependency == format!("Piso {number}"),
            "{facts:?}"
        );
        machine.connect("boot-y").await?;
    }
    Ok(())
}

/// The same traces, of which a split takes away all; `true` once it stands.
fn all_of_it_or_apart(pair: &Pair) -> impl Fn(&World) -> Result<bool> {
    |world| match pair.merged(world)? {
        [true, true, true, true, true] => Ok(false),
        [false, false, false, false, false] => Ok(true),
        half => anyhow::bail!("half a split: {half:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_decision_about_devices_that_crashes_is_whole_or_nothing() {
    let mut world = World::start_alone(Options::default()).await.unwrap();
    let mut crashes = crashes(Group::Devices);
    // The import has two rows.
    crashes.push(Crash::new(Program::Server, "server.device.import.row@2"));
    for (number, mut crash) in (1..).zip(crashes) {
        through(&mut world, &mut crash, number)
            .await
            .with_context(|| crash.point.clone())
            .unwrap();
    }
    world.check_record().unwrap();
}
