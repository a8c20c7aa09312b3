//! What guards the machine: antivirus programs and the age of what they know, firewalls as they are set up, mandatory access
//! control. From files alone; nothing is asked of the programs.

mod access;
mod antivirus;
mod firewall;

use chasqui_proto::v1;
use v1::section_facts::Facts;

use super::super::{Collector, Notes, Observation, Source, Unreadable};
use super::enablement::Enablement;

/// Makes the security section.
#[derive(Clone, Copy, Debug)]
pub struct Security;

impl Collector for Security {
    fn kind(&self) -> v1::SectionKind {
        v1::SectionKind::Security
    }

    fn version(&self) -> u32 {
        1
    }

    fn collect(&self, source: &Source) -> Observation {
        let mut notes = Notes::new(self.kind());
        let units = Enablement::read(source);
        let antivirus = antivirus::read(source, units.as_ref(), &mut notes);
        let firewalls = firewall::read(source, units.as_ref(), &mut notes);
        let access_control = access::read(source, &mut notes);
        for (group, empty, why) in [
            (
                "antivirus",
                antivirus.is_empty(),
                "none of the known ones is installed where it would be",
            ),
            (
                "firewalls",
                firewalls.is_empty(),
                "none of ufw, firewalld, nftables and iptables keeps settings here",
            ),
            (
                "access_control",
                access_control.is_empty(),
                "the kernel shows neither SELinux nor AppArmor",
            ),
        ] {
            if empty {
                notes.unread(group, Unreadable::no_source(why));
            }
        }
        let facts = v1::SecurityFacts {
            antivirus,
            firewalls,
            access_control,
        };
        Observation::new(Facts::Security(facts), notes)
    }
}

/// The links of systemd, or why there are none.
type Units<'a> = Result<&'a Enablement, &'a Unreadable>;
