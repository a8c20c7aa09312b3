//! Holds the API against the last released one. Agents up to 24 months old speak to newer coordinators, so what was
//! released is never taken away or changed; and the habits of the API (page tokens, request ids) hold for every call.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::collections::BTreeSet;
use std::path::PathBuf;

use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet};

fn files() -> Vec<FileDescriptorProto> {
    FileDescriptorSet::decode(chasqui_proto::DESCRIPTOR_SET)
        .unwrap()
        .file
        .into_iter()
        .filter(|file| file.package() == "chasqui.v1")
        .collect()
}

/// One line for everything another program can depend on: each field's number, name, type and shape; each enum value;
/// each RPC with its streams.
fn surface(files: &[FileDescriptorProto]) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for file in files {
        for message in &file.message_type {
            message_lines(
                &format!("{}.{}", file.package(), message.name()),
                message,
                &mut lines,
            );
        }
        for enumeration in &file.enum_type {
            for value in &enumeration.value {
                lines.insert(format!(
                    "enum {}.{} {} = {}",
                    file.package(),
                    enumeration.name(),
                    value.name(),
                    value.number()
                ));
            }
        }
        for service in &file.service {
            for method in &service.method {
                lines.insert(format!(
                    "rpc {}.{}/{} ({}{}) returns ({}{})",
                    file.package(),
                    service.name(),
                    method.name(),
                    if method.client_streaming() {
                        "stream "
                    } else {
                        ""
                    },
                    method.input_type(),
                    if method.server_streaming() {
                        "stream "
                    } else {
                        ""
                    },
                    method.output_type(),
                ));
            }
        }
    }
    lines
}

fn message_lines(name: &str, message: &DescriptorProto, lines: &mut BTreeSet<String>) {
    for field in &message.field {
        lines.insert(format!(
            "field {name} {} = {} {}",
            field.name(),
            field.number(),
            shape(message, field)
        ));
    }
    for nested in &message.nested_type {
        message_lines(&format!("{name}.{}", nested.name()), nested, lines);
    }
}

fn shape(message: &DescriptorProto, field: &FieldDescriptorProto) -> String {
    let kind = match field.r#type() {
        Type::Message | Type::Enum => field.type_name().to_owned(),
        other => format!("{other:?}").to_lowercase(),
    };
    let presence = if field.label() == Label::Repeated {
        "repeated"
    } else if field.proto3_optional() {
        "optional"
    } else if field.oneof_index.is_some() {
        "oneof"
    } else {
        "singular"
    };
    let group = field
        .oneof_index
        .filter(|_| !field.proto3_optional())
        .and_then(|index| message.oneof_decl.get(usize::try_from(index).unwrap()))
        .map(|oneof| format!(" of {}", oneof.name()))
        .unwrap_or_default();
    format!("{presence} {kind}{group}")
}

fn released_path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("released/chasqui.v1.txt")
}

/// What of `released` is no longer there.
fn broken<'a>(released: &'a BTreeSet<String>, now: &'a BTreeSet<String>) -> Vec<&'a String> {
    released.difference(now).collect()
}

#[test]
fn nothing_released_was_taken_away_or_changed() {
    let now = surface(&files());
    if std::env::var_os("CHASQUI_RELEASE_API").is_some() {
        std::fs::write(
            released_path(),
            now.iter()
                .map(|line| format!("{line}\n"))
                .collect::<String>(),
        )
        .unwrap();
    }
    let text = std::fs::read_to_string(released_path())
        .expect("proto/released/chasqui.v1.txt is part of the repository");
    let released: BTreeSet<String> = text.lines().map(str::to_owned).collect();
    assert!(
        released.len() > 400,
        "the released surface has only {} lines: is the file whole?",
        released.len()
    );
    let broken = broken(&released, &now);
    assert!(
        broken.is_empty(),
        "these are in the released API and not in this one (add, never change):\n{broken:#?}"
    );
}

#[test]
fn a_removed_field_a_new_type_and_a_new_number_are_seen_as_breaking() {
    let before = surface(&files());
    let change = |edit: &dyn Fn(&mut DescriptorProto)| {
        let mut files = files();
        let ticket = files
            .iter_mut()
            .flat_map(|file| &mut file.message_type)
            .find(|message| message.name() == "Ticket")
            .unwrap();
        edit(ticket);
        let after = surface(&files);
        broken(&before, &after).len()
    };
    assert_eq!(change(&|_| ()), 0);
    assert_eq!(change(&|ticket| drop(ticket.field.remove(0))), 1);
    assert_eq!(change(&|ticket| ticket.field[0].set_type(Type::Int32)), 1);
    assert_eq!(change(&|ticket| ticket.field[0].number = Some(99)), 1);
    assert_eq!(
        change(&|ticket| ticket.field[0].set_label(Label::Repeated)),
        1
    );
}

#[test]
fn every_list_has_a_page_and_every_create_a_request_id() {
    let files = files();
    let messages: Vec<&DescriptorProto> =
        files.iter().flat_map(|file| &file.message_type).collect();
    let has = |message: &str, field: &str| {
        messages
            .iter()
            .find(|candidate| candidate.name() == message)
            .is_some_and(|found| found.field.iter().any(|one| one.name() == field))
    };
    let mut seen = 0;
    for method in files
        .iter()
        .flat_map(|file| &file.service)
        .flat_map(|service| &service.method)
    {
        let name = method.name();
        if name.starts_with("List") {
            seen += 1;
            assert!(
                has(&format!("{name}Request"), "page"),
                "{name}Request has no page"
            );
            assert!(
                has(&format!("{name}Response"), "page"),
                "{name}Response has no page"
            );
        }
        let creates = [
            "Create", "Add", "Submit", "Publish", "Report", "Enrol", "Comment",
        ];
        if creates.iter().any(|verb| name.starts_with(verb)) {
            seen += 1;
            assert!(
                has(&format!("{name}Request"), "request_id"),
                "{name}Request has no request_id"
            );
        }
    }
    assert!(seen >= 15, "only {seen} calls were looked at");
}

#[test]
fn every_enum_begins_with_unspecified() {
    for file in files() {
        for enumeration in &file.enum_type {
            let zero = &enumeration.value[0];
            assert_eq!(zero.number(), 0, "{}", enumeration.name());
            assert!(
                zero.name().ends_with("_UNSPECIFIED"),
                "{} begins with {}",
                enumeration.name(),
                zero.name()
            );
        }
    }
}
