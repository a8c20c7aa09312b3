use chasqui_base::clock::now_ms;
use chasqui_proto::v1::order_service_server::OrderService as _;
use chasqui_proto::v1::{self, OrderState, ProgressState, TrustDocumentKind};
use chasqui_server::rpc::order;
use chasqui_store::device;
use chasqui_trust::result::{ConsentAnswer, ConsentReceipt, Outcome};
use chasqui_trust::{Decision, Digest, SigningKey, sign, verify_evidence};
use tonic::Code;

use crate::papers::result;
use crate::world::{ORG, World, fresh, ok, reason, refused};

both_engines!(
    a_result_is_stored_once_and_told_with_its_check,
    results_of_others_are_refused_and_leave_nothing,
    unknown_is_answered_by_the_journal_and_by_nothing_else,
    progress_goes_forward_alone,
    the_evidence_proves_it_with_the_root_alone,
    evidence_outlives_many_later_documents,
    papers_that_prove_nothing_are_not_exported,
    a_consent_receipt_must_be_the_one_the_result_names,
);

async fn a_result_is_stored_once_and_told_with_its_check(world: World) {
    world.publish_trust().await;
    let machine = world.machine("pc-1", 60).await;
    let order = world.sent(&machine).await;
    let paper = result(&machine, &order, Outcome::Succeeded);
    assert!(!world.submit(&machine, &order, &paper).await.unwrap());
    let events = world.events().await;
    assert!(
        world.submit(&machine, &order, &paper).await.unwrap(),
        "again: already stored"
    );
    assert_eq!(world.events().await, events);
    let order = world.look(&order.id).await;
    assert_eq!(
        (order.state(), order.targets[0].state()),
        (OrderState::Succeeded, OrderState::Succeeded)
    );
    assert_eq!(
        order.targets[0].result,
        sign(&paper, &[&machine.key()]).unwrap().to_json()
    );
    let entry = world
        .timeline(&world.requester, &order.ticket_id)
        .await
        .pop()
        .unwrap();
    assert_eq!(
        (
            entry.kind.as_str(),
            entry.actor_name.as_str(),
            entry.order_id.as_str()
        ),
        ("order.result", "pc-1", order.id.as_str())
    );
    let text = entry.text.unwrap();
    assert_eq!(
        text.es,
        "pc-1: acción exitosa. La comprobación posterior se cumple: no quedan archivos viejos [bytes: 4096 → 0 B]"
    );
    assert!(
        text.en
            .contains("The check afterwards holds: no old files are left"),
        "{}",
        text.en
    );
    // Another result for the same order: the first stays.
    let other = result(&machine, &order, Outcome::Failed);
    assert_eq!(
        reason(world.submit(&machine, &order, &other).await),
        "ORDER_RESULT_CONFLICT"
    );
    let mut same = paper.clone();
    same.finished_at_ms += 1;
    assert_eq!(
        reason(world.submit(&machine, &order, &same).await),
        "ORDER_RESULT_CONFLICT"
    );
    assert_eq!(world.look(&order.id).await.state(), OrderState::Succeeded);
    assert_eq!(world.events().await, events);
    world.check().await;
}

async fn results_of_others_are_refused_and_leave_nothing(world: World) {
    world.publish_trust().await;
    let (machine, other) = (
        world.machine("pc-1", 60).await,
        world.machine("pc-2", 61).await,
    );
    let order = world.sent(&machine).await;
    let theirs = world.sent(&other).await;
    let events = world.events().await;
    let good = result(&machine, &order, Outcome::Succeeded);
    // A machine that is no target.
    let paper = result(&other, &order, Outcome::Succeeded);
    assert_eq!(
        refused(world.submit(&other, &order, &paper).await),
        (Code::PermissionDenied, "ORDER_OTHER_DEVICE".to_owned())
    );
    // Signed by another key; a result about another order; another machine's name.
    let forged = sign(&good, &[&SigningKey::generate([77; 32])]).unwrap();
    assert_eq!(
        reason(
            world
                .submit_bytes(&machine, &order.id, forged.to_json())
                .await
        ),
        "RESULT_SIGNATURE_INVALID"
    );
    let about = result(&machine, &theirs, Outcome::Succeeded);
    assert_eq!(
        reason(world.submit(&machine, &order, &about).await),
        "RESULT_ORDER_MISMATCH"
    );
    let mut named = good.clone();
    named.device_fingerprint = other.key().public_key().fingerprint();
    assert_eq!(
        reason(world.submit(&machine, &order, &named).await),
        "RESULT_DEVICE_MISMATCH"
    );
    assert_eq!(
        refused(
            world
                .submit_bytes(&machine, &order.id, b"{}".to_vec())
                .await
        )
        .0,
        Code::InvalidArgument
    );
    assert_eq!(
        reason(world.submit_bytes(&machine, &fresh(), b"{}".to_vec()).await),
        "ORDER_UNKNOWN"
    );
    // An order people have not released cannot have run.
    let undecided = world.ordered(&[&machine]).await;
    let before = world.events().await;
    let early = result(&machine, &undecided, Outcome::Succeeded);
    assert_eq!(
        reason(world.submit(&machine, &undecided, &early).await),
        "ORDER_STATE"
    );
    assert_eq!(world.events().await, before);
    // A revoked machine says nothing that counts.
    world
        .set_device_state(&machine, device::State::Revoked)
        .await;
    assert_eq!(
        reason(world.submit(&machine, &order, &good).await),
        "DEVICE_REVOKED"
    );
    assert_eq!(world.look(&order.id).await.state(), OrderState::Sent);
    assert!(events <= before);
    assert!(
        order::pending(&world.ctx, machine.id)
            .await
            .unwrap()
            .is_empty(),
        "and gets nothing"
    );
}

async fn unknown_is_answered_by_the_journal_and_by_nothing_else(world: World) {
    world.publish_trust().await;
    let machine = world.machine("pc-1", 60).await;
    let order = world.sent(&machine).await;
    let mut unknown = result(&machine, &order, Outcome::Unknown);
    unknown.check = None;
    assert!(!world.submit(&machine, &order, &unknown).await.unwrap());
    assert_eq!(world.look(&order.id).await.state(), OrderState::Unknown);
    assert!(
        order::pending(&world.ctx, machine.id)
            .await
            .unwrap()
            .is_empty(),
        "never sent again"
    );
    let answer = result(&machine, &order, Outcome::Failed);
    assert!(!world.submit(&machine, &order, &answer).await.unwrap());
    assert_eq!(world.look(&order.id).await.state(), OrderState::Failed);
    assert_eq!(
        reason(world.submit(&machine, &order, &unknown).await),
        "ORDER_RESULT_CONFLICT"
    );
    world.check().await;
}

async fn progress_goes_forward_alone(world: World) {
    world.publish_trust().await;
    let (machine, other) = (
        world.machine("pc-1", 60).await,
        world.machine("pc-2", 61).await,
    );
    let order = world.sent(&machine).await;
    let tell = |state: ProgressState| v1::OrderProgress {
        order_id: order.id.clone(),
        state: state.into(),
        at_ms: now_ms(),
    };
    order::progress(&world.ctx, &machine.caller(), tell(ProgressState::Accepted))
        .await
        .unwrap();
    order::progress(&world.ctx, &machine.caller(), tell(ProgressState::Running))
        .await
        .unwrap();
    let events = world.events().await;
    order::progress(&world.ctx, &machine.caller(), tell(ProgressState::Accepted))
        .await
        .unwrap();
    order::progress(&world.ctx, &machine.caller(), tell(ProgressState::Running))
        .await
        .unwrap();
    assert_eq!(
        world.events().await,
        events,
        "an earlier step told late says nothing"
    );
    assert_eq!(world.look(&order.id).await.state(), OrderState::Running);
    let answer = order::progress(&world.ctx, &other.caller(), tell(ProgressState::Checking)).await;
    assert_eq!(reason(answer), "ORDER_OTHER_DEVICE");
    world
        .submit(
            &machine,
            &order,
            &result(&machine, &order, Outcome::Succeeded),
        )
        .await
        .unwrap();
    order::progress(&world.ctx, &machine.caller(), tell(ProgressState::Checking))
        .await
        .unwrap();
    assert_eq!(world.look(&order.id).await.state(), OrderState::Succeeded);
    world.check().await;
}

async fn the_evidence_proves_it_with_the_root_alone(world: World) {
    world.publish_trust().await;
    let (machine, other) = (
        world.machine("pc-1", 60).await,
        world.machine("pc-2", 61).await,
    );
    let order = world.ordered(&[&machine, &other]).await;
    world
        .say(&order, &world.lead, Decision::Approve)
        .await
        .unwrap();
    order::pending(&world.ctx, machine.id).await.unwrap();
    world
        .submit(
            &machine,
            &order,
            &result(&machine, &order, Outcome::Succeeded),
        )
        .await
        .unwrap();
    // A later people document no longer names the requester: the papers of the day are exported.
    let mut people =
        <chasqui_trust::People as chasqui_trust::Document>::decode(&world.people(2)).unwrap();
    people.persons.remove(0);
    let people = sign(&people, &[&crate::papers::root_key()]).unwrap();
    world
        .publish(TrustDocumentKind::People, people)
        .await
        .unwrap();
    let export = |device: String| v1::ExportEvidenceRequest {
        order_id: order.id.clone(),
        device_id: device,
    };
    let orders = world.orders();
    assert_eq!(
        reason(
            orders
                .export_evidence(world.by(&world.auditor, export(String::new())))
                .await
        ),
        "INVALID_FIELD"
    );
    let answer = ok(orders
        .export_evidence(world.by(&world.auditor, export(machine.id.to_string())))
        .await);
    assert_eq!(
        answer.file_name,
        format!("chasqui-{}-pc-1.json", order.ticket_number)
    );
    let report = verify_evidence(&answer.evidence, &world.root(1).to_json()).unwrap();
    assert_eq!(report.outcome, Some(Outcome::Succeeded));
    assert_eq!(report.approvers, [world.lead.id.to_string()]);
    assert!(report.single_signer && report.authorised);
    assert!(
        chasqui_trust::Evidence::decode(&answer.evidence)
            .unwrap()
            .log
            .is_some(),
        "its place in the log goes with it"
    );
    assert!(
        verify_evidence(
            &answer.evidence,
            &sign(&crate::papers::root(7), &[&SigningKey::generate([9; 32])])
                .unwrap()
                .to_json()
        )
        .is_err()
    );
    assert_eq!(
        reason(
            orders
                .export_evidence(world.by(&world.auditor, export(fresh())))
                .await
        ),
        "ORDER_OTHER_DEVICE"
    );
    // Without a result there is evidence of the order.
    let answer = ok(orders
        .export_evidence(world.by(&world.auditor, export(other.id.to_string())))
        .await);
    assert_eq!(
        verify_evidence(&answer.evidence, &world.root(1).to_json())
            .unwrap()
            .outcome,
        None
    );
}

async fn evidence_outlives_many_later_documents(world: World) {
    world.publish_trust().await;
    let machine = world.machine("pc-1", 60).await;
    let order = world.sent(&machine).await;
    let paper = result(&machine, &order, Outcome::Succeeded);
    world.submit(&machine, &order, &paper).await.unwrap();
    // Each of them names the requester no longer, or the action: only those of the day prove the order.
    for version in 2..=10 {
        let mut people =
            <chasqui_trust::People as chasqui_trust::Document>::decode(&world.people(version))
                .unwrap();
        people.persons.remove(0);
        let people = sign(&people, &[&crate::papers::root_key()]).unwrap();
        world
            .publish(TrustDocumentKind::People, people)
            .await
            .unwrap();
        let mut catalogue = <chasqui_trust::Catalogue as chasqui_trust::Document>::decode(
            &world.catalogue(version),
        )
        .unwrap();
        catalogue.definitions.clear();
        let catalogue = sign(&catalogue, &[&crate::papers::root_key()]).unwrap();
        world
            .publish(TrustDocumentKind::Catalogue, catalogue)
            .await
            .unwrap();
    }
    let export = v1::ExportEvidenceRequest {
        order_id: order.id.clone(),
        device_id: String::new(),
    };
    let answer = ok(world
        .orders()
        .export_evidence(world.by(&world.auditor, export))
        .await);
    let report = verify_evidence(&answer.evidence, &world.root(1).to_json()).unwrap();
    assert_eq!(report.outcome, Some(Outcome::Succeeded));
    assert!(report.authorised);
}

async fn papers_that_prove_nothing_are_not_exported(world: World) {
    world.publish_trust().await;
    let machine = world.machine("pc-1", 60).await;
    // Nobody has approved it.
    let order = world.ordered(&[&machine]).await;
    let export = v1::ExportEvidenceRequest {
        order_id: order.id.clone(),
        device_id: String::new(),
    };
    let answer = world
        .orders()
        .export_evidence(world.by(&world.auditor, export))
        .await;
    let status = answer.as_ref().unwrap_err().clone();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(
        status.message().contains("APPROVALS_MISSING"),
        "{}",
        status.message()
    );
    assert_eq!(reason(answer), "EVIDENCE_INCOMPLETE");
}

async fn a_consent_receipt_must_be_the_one_the_result_names(world: World) {
    world.publish_trust().await;
    let machine = world.machine("pc-1", 60).await;
    let order = world.sent(&machine).await;
    let receipt = |answer| ConsentReceipt {
        critical: vec![],
        org: ORG.to_owned(),
        order_digest: Digest::from_slice(&order.digest).unwrap(),
        device_fingerprint: machine.key().public_key().fingerprint(),
        answer,
        user: Some("rosa".to_owned()),
        by: Some(chasqui_trust::result::AnsweredBy::Keyboard),
        deferred: 0,
        shown: "¿Permite limpiar?".to_owned(),
        asked_at_ms: now_ms(),
        answered_at_ms: now_ms(),
    };
    let granted = sign(&receipt(ConsentAnswer::Granted), &[&machine.key()]).unwrap();
    let denied = sign(&receipt(ConsentAnswer::Denied), &[&machine.key()]).unwrap();
    let mut paper = result(&machine, &order, Outcome::Succeeded);
    paper.consent_digest = Some(granted.payload_digest());
    let envelope = sign(&paper, &[&machine.key()]).unwrap();
    let submit = async |consent: &chasqui_trust::Envelope| {
        let message = v1::SubmitResultRequest {
            request_id: fresh(),
            order_id: order.id.clone(),
            envelope: envelope.to_json().into(),
            store_epoch: 1,
            consent: consent.to_json().into(),
        };
        order::submit_result(&world.ctx, &machine.caller(), message).await
    };
    assert_eq!(reason(submit(&denied).await), "CONSENT_MISMATCH");
    assert_eq!(world.look(&order.id).await.state(), OrderState::Sent);
    submit(&granted).await.unwrap();
    let export = v1::ExportEvidenceRequest {
        order_id: order.id.clone(),
        device_id: String::new(),
    };
    let answer = ok(world
        .orders()
        .export_evidence(world.by(&world.auditor, export))
        .await);
    assert!(verify_evidence(&answer.evidence, &world.root(1).to_json()).is_ok());
}
