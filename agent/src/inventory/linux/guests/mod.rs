//! What runs inside this machine, and who may steer it from outside: virtual machines and containers that it keeps, programs
//! of remote control. Whether a guest runs at the moment is no fact of the machine.

mod containers;
mod machines;
mod remote;
mod xml;

use chasqui_proto::v1;
use v1::section_facts::Facts;

use super::super::{Collector, Notes, Observation, Source, Unreadable};

/// Most guests of one kind.
const MAX_GUESTS: usize = 1_000;

/// Makes the guests section.
#[derive(Clone, Copy, Debug)]
pub struct Guests;

impl Collector for Guests {
    fn kind(&self) -> v1::SectionKind {
        v1::SectionKind::Guests
    }

    fn version(&self) -> u32 {
        1
    }

    fn collect(&self, source: &Source) -> Observation {
        let mut notes = Notes::new(self.kind());
        let mut guests = machines::libvirt(source, &mut notes);
        guests.extend(machines::virtualbox(source, &mut notes));
        guests.extend(containers::docker(source, &mut notes));
        guests.extend(containers::podman(source, &mut notes));
        guests.extend(containers::lxc(source, &mut notes));
        guests.sort_by(|a, b| (&a.name, &a.r#type, &a.uuid).cmp(&(&b.name, &b.r#type, &b.uuid)));
        let remote_tools = remote::tools(source, &mut notes);
        explain(&guests, &remote_tools, &mut notes);
        let facts = v1::GuestsFacts {
            guests,
            remote_tools,
        };
        Observation::new(Facts::Guests(facts), notes)
    }
}

fn explain(guests: &[v1::Guest], tools: &[v1::RemoteTool], notes: &mut Notes) {
    let of_guests = |lacks: fn(&v1::Guest) -> bool| guests.iter().any(lacks);
    let of_tools = |lacks: fn(&v1::RemoteTool) -> bool| tools.iter().any(lacks);
    for (field, lacking, why) in [
        (
            "guests.uuid",
            of_guests(|g| g.uuid.is_none()),
            "the guest's settings have none",
        ),
        (
            "guests.memory_bytes",
            of_guests(|g| g.memory_bytes.is_none()),
            "the guest's settings set no bound",
        ),
        (
            "guests.cpus",
            of_guests(|g| g.cpus.is_none()),
            "the guest's settings set no bound",
        ),
        (
            "guests.image",
            of_guests(|g| g.image.is_none()),
            "the guest's settings name none",
        ),
        (
            "remote_tools.id",
            of_tools(|t| t.id.is_none()),
            "the tool keeps no public id where it can be read",
        ),
        (
            "remote_tools.version",
            of_tools(|t| t.version.is_none()),
            "neither the tool's files nor dpkg tell",
        ),
        (
            "guests",
            guests.is_empty(),
            "no guests of libvirt, VirtualBox, docker, podman or LXC",
        ),
        (
            "remote_tools",
            tools.is_empty(),
            "none of the known ones is installed where it would be",
        ),
    ] {
        if lacking {
            notes.unread(field, Unreadable::no_source(why));
        }
    }
}
