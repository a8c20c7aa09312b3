use chasqui_proto::v1;
use chasqui_proto::v1::ticket_service_server::TicketService as _;
use chasqui_store::event;
use tonic::Code;

use crate::world::{Someone, World, fresh, ok, reason, refused};

both_engines!(
    a_case_from_registration_to_closing_is_told_in_both_languages,
    a_repeated_request_makes_no_second_ticket,
    a_stale_version_is_refused_with_the_one_in_force,
    a_requester_sees_their_own_tickets_alone,
    states_and_roles_are_the_rules,
    titles_are_found_without_case_and_accents_and_pages_go_on,
    what_is_wrong_is_named_and_nothing_is_stored,
    erased_texts_leave_the_record_whole,
);

async fn classify(
    world: &World,
    who: &Someone,
    ticket: &v1::Ticket,
) -> Result<v1::Ticket, tonic::Status> {
    let message = v1::ClassifyTicketRequest {
        request_id: fresh(),
        ticket_id: ticket.id.clone(),
        expected_version: 0,
        kind: v1::TicketKind::Incident.into(),
        service: "computer_equipment".to_owned(),
        urgency: 4,
        impact: 3,
    };
    Ok(world
        .tickets()
        .classify_ticket(world.by(who, message))
        .await?
        .into_inner()
        .ticket
        .unwrap())
}

async fn assign(
    world: &World,
    who: &Someone,
    ticket: &v1::Ticket,
    to: &Someone,
) -> Result<v1::Ticket, tonic::Status> {
    let message = v1::AssignTicketRequest {
        request_id: fresh(),
        ticket_id: ticket.id.clone(),
        expected_version: 0,
        assignee_id: to.id.to_string(),
    };
    Ok(world
        .tickets()
        .assign_ticket(world.by(who, message))
        .await?
        .into_inner()
        .ticket
        .unwrap())
}

async fn solve(
    world: &World,
    who: &Someone,
    ticket: &v1::Ticket,
) -> Result<v1::Ticket, tonic::Status> {
    let message = v1::SolveTicketRequest {
        request_id: fresh(),
        ticket_id: ticket.id.clone(),
        expected_version: 0,
        solution: "Se liberó espacio".to_owned(),
    };
    Ok(world
        .tickets()
        .solve_ticket(world.by(who, message))
        .await?
        .into_inner()
        .ticket
        .unwrap())
}

async fn approve(
    world: &World,
    who: &Someone,
    ticket: &v1::Ticket,
) -> Result<v1::Ticket, tonic::Status> {
    let message = v1::ApproveSolutionRequest {
        request_id: fresh(),
        ticket_id: ticket.id.clone(),
        expected_version: 0,
        comment: "Gracias".to_owned(),
    };
    Ok(world
        .tickets()
        .approve_solution(world.by(who, message))
        .await?
        .into_inner()
        .ticket
        .unwrap())
}

async fn a_case_from_registration_to_closing_is_told_in_both_languages(world: World) {
    let device = world.machine("pc-1", 60).await;
    let ticket = world
        .ticket(&world.requester, "Disco lleno", Some(&device))
        .await;
    assert_eq!(ticket.number[..3], *"MA-");
    assert!(ticket.number.ends_with("-000001"), "{}", ticket.number);
    assert_eq!(
        (ticket.state(), ticket.urgency, ticket.kind()),
        (v1::TicketState::Registered, 0, v1::TicketKind::Unspecified)
    );
    assert_eq!(ticket.device_host_name, "pc-1");
    let classified = classify(&world, &world.lead, &ticket).await.unwrap();
    assert_eq!(
        (classified.service.as_str(), classified.version),
        ("computer_equipment", 2)
    );
    assert!(classified.priority >= 3);
    assign(&world, &world.lead, &ticket, &world.technician)
        .await
        .unwrap();
    let solved = solve(&world, &world.technician, &ticket).await.unwrap();
    assert_eq!(
        (solved.state(), solved.solution.as_str()),
        (v1::TicketState::Solved, "Se liberó espacio")
    );
    assert!(solved.solved_at_ms > 0);
    let closed = approve(&world, &world.requester, &ticket).await.unwrap();
    assert_eq!(closed.state(), v1::TicketState::Closed);
    assert!(closed.closed_at_ms >= closed.solved_at_ms && closed.solved_at_ms > 0);

    let entries = world.timeline(&world.requester, &ticket.id).await;
    let kinds: Vec<_> = entries.iter().map(|entry| entry.kind.as_str()).collect();
    assert_eq!(
        kinds,
        [
            "ticket.registered",
            "ticket.classified",
            "ticket.assigned",
            "ticket.solution_proposed",
            "ticket.commented",
            "ticket.solution_approved"
        ]
    );
    let texts: Vec<_> = entries
        .iter()
        .map(|entry| entry.text.clone().unwrap())
        .collect();
    assert_eq!(texts[0].es, "Solicitud registrada: Disco lleno");
    assert_eq!(texts[2].en, "Assigned to Tomás Técnico");
    assert!(
        texts[1]
            .es
            .starts_with("Clasificado: incidente, servicio computer_equipment, prioridad "),
        "{}",
        texts[1].es
    );
    assert!(
        texts
            .iter()
            .all(|text| !text.es.is_empty() && !text.en.is_empty())
    );
    assert_eq!(
        (entries[3].body.as_str(), entries[3].actor_name.as_str()),
        ("Se liberó espacio", "Tomás Técnico")
    );
    assert_eq!(entries[4].body, "Gracias");
    world.check().await;
}

async fn a_repeated_request_makes_no_second_ticket(world: World) {
    let message = v1::CreateTicketRequest {
        request_id: fresh(),
        title: "No imprime".to_owned(),
        description: String::new(),
        device_id: String::new(),
        requester_id: String::new(),
    };
    let tickets = world.tickets();
    let first = ok(tickets
        .create_ticket(world.by(&world.requester, message.clone()))
        .await);
    let events = world.events().await;
    let second = ok(tickets
        .create_ticket(world.by(&world.requester, message.clone()))
        .await);
    assert_eq!(first, second);
    assert_eq!(world.events().await, events);
    let other = v1::CreateTicketRequest {
        title: "Otra cosa".to_owned(),
        ..message.clone()
    };
    let answer = tickets
        .create_ticket(world.by(&world.requester, other))
        .await;
    assert_eq!(
        refused(answer),
        (Code::AlreadyExists, "REQUEST_ID_REUSED".to_owned())
    );
    // Another person's id is another request.
    let theirs = ok(tickets
        .create_ticket(world.by(&world.technician, message))
        .await);
    assert_ne!(theirs.ticket.unwrap().id, first.ticket.unwrap().id);
}

async fn a_stale_version_is_refused_with_the_one_in_force(world: World) {
    let ticket = world.ticket(&world.requester, "No imprime", None).await;
    classify(&world, &world.lead, &ticket).await.unwrap();
    let events = world.events().await;
    let message = v1::CancelTicketRequest {
        request_id: fresh(),
        ticket_id: ticket.id.clone(),
        expected_version: 1,
        reason: "ya funciona".to_owned(),
    };
    let status = world
        .tickets()
        .cancel_ticket(world.by(&world.requester, message))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Aborted);
    let info = tonic_types::StatusExt::get_details_error_info(&status).unwrap();
    assert_eq!(
        (info.reason.as_str(), info.metadata["version"].as_str()),
        ("TICKET_CHANGED", "2")
    );
    assert_eq!(world.events().await, events);
}

async fn a_requester_sees_their_own_tickets_alone(world: World) {
    let own = world.ticket(&world.requester, "Mi pantalla", None).await;
    let other = world.ticket(&world.technician, "Mi teclado", None).await;
    let tickets = world.tickets();
    let get = |name: &str| v1::GetTicketRequest {
        ticket: name.to_owned(),
    };
    assert_eq!(
        ok(tickets
            .get_ticket(world.by(&world.requester, get(&own.number.to_lowercase())))
            .await)
        .ticket
        .unwrap()
        .id,
        own.id
    );
    let answer = tickets
        .get_ticket(world.by(&world.requester, get(&other.id)))
        .await;
    assert_eq!(
        refused(answer),
        (Code::NotFound, "TICKET_UNKNOWN".to_owned())
    );
    let message = v1::ListTimelineRequest {
        ticket_id: other.id.clone(),
        page: None,
    };
    assert_eq!(
        reason(
            tickets
                .list_timeline(world.by(&world.requester, message))
                .await
        ),
        "TICKET_UNKNOWN"
    );
    let message = v1::CommentTicketRequest {
        request_id: fresh(),
        ticket_id: other.id.clone(),
        text: "hola".to_owned(),
    };
    assert_eq!(
        reason(
            tickets
                .comment_ticket(world.by(&world.requester, message))
                .await
        ),
        "TICKET_UNKNOWN"
    );
    let list = |requester: String| v1::ListTicketsRequest {
        requester_id: requester,
        ..Default::default()
    };
    let mine = ok(tickets
        .list_tickets(world.by(&world.requester, list(String::new())))
        .await)
    .tickets;
    assert_eq!(
        mine.iter().map(|ticket| &ticket.id).collect::<Vec<_>>(),
        [&own.id]
    );
    let answer = tickets
        .list_tickets(world.by(&world.requester, list(world.technician.id.to_string())))
        .await;
    assert_eq!(
        refused(answer),
        (Code::PermissionDenied, "TICKET_PERMISSION".to_owned())
    );
    let all = ok(tickets
        .list_tickets(world.by(&world.auditor, list(String::new())))
        .await)
    .tickets;
    assert_eq!(all.len(), 2);
}

async fn states_and_roles_are_the_rules(world: World) {
    let ticket = world.ticket(&world.requester, "No imprime", None).await;
    let events = world.events().await;
    assert_eq!(
        reason(solve(&world, &world.lead, &ticket).await),
        "TICKET_STATE"
    );
    assert_eq!(
        reason(classify(&world, &world.technician, &ticket).await),
        "TICKET_PERMISSION"
    );
    assert_eq!(
        reason(assign(&world, &world.lead, &ticket, &world.requester).await),
        "INVALID_FIELD"
    );
    assert_eq!(world.events().await, events);
    classify(&world, &world.lead, &ticket).await.unwrap();
    assign(&world, &world.technician, &ticket, &world.technician)
        .await
        .unwrap();
    solve(&world, &world.technician, &ticket).await.unwrap();
    let events = world.events().await;
    // Nobody but the requester has the word on the solution.
    for who in [&world.technician, &world.lead, &world.administrator] {
        assert_eq!(
            refused(approve(&world, who, &ticket).await),
            (Code::PermissionDenied, "TICKET_PERMISSION".to_owned())
        );
    }
    assert_eq!(world.events().await, events);
    let message = v1::RejectSolutionRequest {
        request_id: fresh(),
        ticket_id: ticket.id.clone(),
        expected_version: 0,
        reason: "sigue igual".to_owned(),
    };
    let back = ok(world
        .tickets()
        .reject_solution(world.by(&world.requester, message))
        .await)
    .ticket
    .unwrap();
    assert_eq!(
        (back.state(), back.solution.as_str(), back.solved_at_ms),
        (v1::TicketState::InProgress, "", 0)
    );
    let hold = v1::HoldTicketRequest {
        request_id: fresh(),
        ticket_id: ticket.id.clone(),
        expected_version: 0,
        reason: "repuesto".to_owned(),
    };
    let held = ok(world
        .tickets()
        .hold_ticket(world.by(&world.technician, hold))
        .await)
    .ticket
    .unwrap();
    assert_eq!(held.state(), v1::TicketState::OnHold);
    let resume = v1::ResumeTicketRequest {
        request_id: fresh(),
        ticket_id: ticket.id.clone(),
        expected_version: held.version,
    };
    ok(world
        .tickets()
        .resume_ticket(world.by(&world.technician, resume))
        .await);
    solve(&world, &world.technician, &ticket).await.unwrap();
    let close = v1::CloseTicketRequest {
        request_id: fresh(),
        ticket_id: ticket.id.clone(),
        expected_version: 0,
        reason: "no respondió".to_owned(),
    };
    let closed = ok(world
        .tickets()
        .close_ticket(world.by(&world.lead, close))
        .await)
    .ticket
    .unwrap();
    assert_eq!(
        (closed.state(), closed.close_reason.as_str()),
        (v1::TicketState::Closed, "no respondió")
    );
    world.check().await;
}

async fn titles_are_found_without_case_and_accents_and_pages_go_on(world: World) {
    for title in [
        "Impresión borrosa",
        "IMPRESION cortada",
        "Teclado",
        "100% lleno",
    ] {
        world.ticket(&world.requester, title, None).await;
    }
    let tickets = world.tickets();
    let find = |text: &str, size, token: &str| v1::ListTicketsRequest {
        text: text.to_owned(),
        page: Some(v1::PageRequest {
            page_size: size,
            page_token: token.to_owned(),
        }),
        ..Default::default()
    };
    let found = ok(tickets
        .list_tickets(world.by(&world.lead, find("impresion", 0, "")))
        .await)
    .tickets;
    assert_eq!(
        found
            .iter()
            .map(|ticket| ticket.title.as_str())
            .collect::<Vec<_>>(),
        ["IMPRESION cortada", "Impresión borrosa"]
    );
    // What people type is no pattern.
    assert_eq!(
        ok(tickets
            .list_tickets(world.by(&world.lead, find("0% l", 0, "")))
            .await)
        .tickets
        .len(),
        1
    );
    assert_eq!(
        ok(tickets
            .list_tickets(world.by(&world.lead, find("%", 0, "")))
            .await)
        .tickets
        .len(),
        1
    );
    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let page = ok(tickets
            .list_tickets(world.by(&world.lead, find("", 3, &token)))
            .await);
        seen.extend(page.tickets.into_iter().map(|ticket| ticket.title));
        token = page.page.unwrap().next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(
        seen,
        [
            "100% lleno",
            "Teclado",
            "IMPRESION cortada",
            "Impresión borrosa"
        ]
    );
    let first = ok(tickets
        .list_tickets(world.by(&world.lead, find("", 1, "")))
        .await)
    .page
    .unwrap()
    .next_page_token;
    assert_eq!(
        reason(
            tickets
                .list_tickets(world.by(&world.lead, find("otra", 1, &first)))
                .await
        ),
        "PAGE_TOKEN_INVALID"
    );
    let states = v1::ListTicketsRequest {
        states: vec![v1::TicketState::Closed.into()],
        ..Default::default()
    };
    assert_eq!(
        ok(tickets.list_tickets(world.by(&world.lead, states)).await)
            .tickets
            .len(),
        0
    );
}

async fn what_is_wrong_is_named_and_nothing_is_stored(world: World) {
    let tickets = world.tickets();
    let good = v1::CreateTicketRequest {
        request_id: fresh(),
        title: "No imprime".to_owned(),
        description: String::new(),
        device_id: String::new(),
        requester_id: String::new(),
    };
    let events = world.events().await;
    let cases = [
        (
            v1::CreateTicketRequest {
                title: "ab".to_owned(),
                ..good.clone()
            },
            "INVALID_FIELD",
        ),
        (
            v1::CreateTicketRequest {
                title: "a\nb c".to_owned(),
                ..good.clone()
            },
            "INVALID_FIELD",
        ),
        (
            v1::CreateTicketRequest {
                description: "x".repeat(20_001),
                ..good.clone()
            },
            "INVALID_FIELD",
        ),
        (
            v1::CreateTicketRequest {
                device_id: fresh(),
                ..good.clone()
            },
            "DEVICE_UNKNOWN",
        ),
        (
            v1::CreateTicketRequest {
                device_id: "pc-1".to_owned(),
                ..good.clone()
            },
            "INVALID_FIELD",
        ),
        (
            v1::CreateTicketRequest {
                request_id: "1".to_owned(),
                ..good.clone()
            },
            "INVALID_FIELD",
        ),
        (
            v1::CreateTicketRequest {
                requester_id: world.lead.id.to_string(),
                ..good.clone()
            },
            "TICKET_PERMISSION",
        ),
    ];
    for (message, expected) in cases {
        assert_eq!(
            reason(
                tickets
                    .create_ticket(world.by(&world.requester, message))
                    .await
            ),
            expected
        );
    }
    let answer = tickets
        .create_ticket(world.by(&world.auditor, good.clone()))
        .await;
    assert_eq!(reason(answer), "TICKET_PERMISSION");
    assert_eq!(world.events().await, events);
    // On behalf of another, by the help desk, with the longest text there may be.
    let message = v1::CreateTicketRequest {
        requester_id: world.requester.id.to_string(),
        description: "😀".repeat(20_000),
        ..good
    };
    let ticket = ok(tickets
        .create_ticket(world.by(&world.technician, message))
        .await)
    .ticket
    .unwrap();
    assert_eq!(ticket.requester_name, "Rosa Solicita");
}

async fn erased_texts_leave_the_record_whole(world: World) {
    let ticket = world.ticket(&world.requester, "Mi enfermedad", None).await;
    classify(&world, &world.lead, &ticket).await.unwrap();
    world.check().await;
    let first = world.timeline(&world.lead, &ticket.id).await.remove(0);
    assert!(
        world
            .write(move |tx| event::erase_personal(tx, &first.id))
            .await
    );
    let entry = world.timeline(&world.lead, &ticket.id).await.remove(0);
    assert_eq!(
        (entry.text.unwrap().es.as_str(), entry.body.as_str()),
        ("Solicitud registrada: ", "")
    );
    world.check().await;
}
