use chasqui_base::clock::now_ms;
use chasqui_proto::v1::retirement_service_server::RetirementService as _;
use chasqui_proto::v1::section_facts::Facts;
use chasqui_proto::v1::{self, CriterionVerdict, SectionKind};
use chasqui_server::rpc::retirement;

use crate::inventory::{memory, report, section};
use crate::world::{Machine, World, fresh, ok, reason};

both_engines!(
    what_is_not_observed_stays_unknown,
    the_same_moment_gives_the_same_paper
);

async fn assess(world: &World, machine: &Machine, as_of_ms: i64) -> v1::AssessRetirementResponse {
    let message = v1::AssessRetirementRequest {
        device_id: machine.id.to_string(),
        as_of_ms,
    };
    ok(retirement::Service(world.ctx.clone())
        .assess_retirement(world.by(&world.lead, message))
        .await)
}

fn system(version: &str) -> v1::Section {
    let facts = v1::OperatingSystemFacts {
        family: Some("linux".to_owned()),
        product: Some("debian".to_owned()),
        name: Some("Debian GNU/Linux".to_owned()),
        version: Some(version.to_owned()),
        ..Default::default()
    };
    section(SectionKind::OperatingSystem, Facts::OperatingSystem(facts))
}

async fn what_is_not_observed_stays_unknown(world: World) {
    let machine = world.machine("pc-1", 60).await;
    let nothing = assess(&world, &machine, 0).await;
    assert_eq!(nothing.class(), v1::RetirementClass::InsufficientData);
    assert_eq!(nothing.criteria.len(), 4);
    assert!(
        nothing
            .criteria
            .iter()
            .all(|criterion| criterion.verdict() == CriterionVerdict::Unknown)
    );
    assert!(
        nothing.criteria.iter().all(|criterion| !criterion
            .explanation
            .as_ref()
            .unwrap()
            .es
            .is_empty())
    );
    report(&world, &machine, vec![system("8"), memory(16 << 30)])
        .await
        .unwrap();
    let some = assess(&world, &machine, 0).await;
    let support = some
        .criteria
        .iter()
        .find(|criterion| criterion.id == "os_support")
        .unwrap();
    assert_eq!(support.verdict(), CriterionVerdict::Fails, "{support:?}");
    assert!(
        support
            .evidence
            .iter()
            .any(|evidence| evidence.value.contains('8')),
        "{support:?}"
    );
    let disk = some
        .criteria
        .iter()
        .find(|criterion| criterion.id == "disk_kind")
        .unwrap();
    assert_eq!(disk.verdict(), CriterionVerdict::Unknown);
    let unknown = v1::AssessRetirementRequest {
        device_id: fresh(),
        as_of_ms: 0,
    };
    let service = retirement::Service(world.ctx.clone());
    assert_eq!(
        reason(
            service
                .assess_retirement(world.by(&world.lead, unknown))
                .await
        ),
        "DEVICE_UNKNOWN"
    );
    let future = v1::AssessRetirementRequest {
        device_id: machine.id.to_string(),
        as_of_ms: now_ms() + 100_000,
    };
    assert_eq!(
        reason(
            service
                .assess_retirement(world.by(&world.lead, future))
                .await
        ),
        "INVALID_FIELD"
    );
}

async fn the_same_moment_gives_the_same_paper(world: World) {
    let machine = world.machine("pc-1", 60).await;
    report(&world, &machine, vec![system("12"), memory(16 << 30)])
        .await
        .unwrap();
    let first = assess(&world, &machine, 0).await;
    tokio::time::sleep(std::time::Duration::from_millis(3)).await;
    // The same facts are seen again, later and by another way; then the machine changes.
    let mut again = memory(16 << 30);
    again.observed_at_ms = now_ms();
    again.provenance[0].source = "elsewhere".to_owned();
    report(&world, &machine, vec![again]).await.unwrap();
    report(&world, &machine, vec![system("8"), memory(4 << 30)])
        .await
        .unwrap();
    assert_ne!(assess(&world, &machine, 0).await.digest, first.digest);
    assert_eq!(assess(&world, &machine, first.as_of_ms).await, first);
}
