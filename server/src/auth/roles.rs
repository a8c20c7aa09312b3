//! The one table of who may call what. What is not in it is refused; a test holds it against the API's descriptor set.
//! It knows roles alone: whether *this* ticket or *this* password is the caller's to touch is for the handler.

use chasqui_domain::role::Role;

use super::Caller;

/// Where a call is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// Machines, TLS with the private authority.
    Agents,
    /// People and programs acting for them.
    People,
}

/// Who may make a call.
#[derive(Clone, Copy, Debug)]
pub enum Who {
    /// Nobody needs to say who they are; the handler proves what it needs (a token, a password, a signature).
    Anyone,
    /// Devices with a certificate in force.
    Device,
    /// Persons with a session who hold at least one of these roles.
    People(&'static [Role]),
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// `/chasqui.v1.TicketService/CreateTicket`.
    pub path: &'static str,
    /// The only listener that serves it.
    pub listener: Listener,
    /// Who may.
    pub who: Who,
}

impl Who {
    /// Whether this caller is among those.
    pub fn includes(&self, caller: &Caller) -> bool {
        match (self, caller) {
            (Self::Anyone, _) | (Self::Device, Caller::Device(_)) => true,
            (Self::People(roles), Caller::Person(person)) => person.roles.has_any(roles),
            _ => false,
        }
    }
}

/// The row of a path, if it has one.
pub fn row(path: &str) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.path == path)
}

use Role::{Administrator, Auditor, Coordinator, Lead, Requester, Technician};

const EVERYBODY: &[Role] = &Role::ALL;
/// Everybody who may change something.
const ACTING: &[Role] = &[Requester, Technician, Lead, Coordinator, Administrator];
const STAFF: &[Role] = &[Technician, Lead, Coordinator];
const LEADS: &[Role] = &[Lead, Coordinator];
/// Reads what concerns the whole fleet.
const READERS: &[Role] = &[Technician, Lead, Coordinator, Administrator, Auditor];
/// Runs the system, or answers for it.
const KEEPERS: &[Role] = &[Coordinator, Administrator];
const ADMINISTRATORS: &[Role] = &[Administrator];

const fn people(path: &'static str, roles: &'static [Role]) -> Row {
    Row {
        path,
        listener: Listener::People,
        who: Who::People(roles),
    }
}

const fn open(path: &'static str, listener: Listener) -> Row {
    Row {
        path,
        listener,
        who: Who::Anyone,
    }
}

const fn device(path: &'static str) -> Row {
    Row {
        path,
        listener: Listener::Agents,
        who: Who::Device,
    }
}

/// Every call of the API.
#[rustfmt::skip]
pub const TABLE: &[Row] = &[
    open("/chasqui.v1.SessionService/Login", Listener::People),
    open("/chasqui.v1.SessionService/GetServerInfo", Listener::People),
    people("/chasqui.v1.SessionService/Logout", EVERYBODY),
    people("/chasqui.v1.SessionService/WhoAmI", EVERYBODY),

    people("/chasqui.v1.PersonService/CreatePerson", ADMINISTRATORS),
    people("/chasqui.v1.PersonService/ListPersons", READERS),
    // Everybody their own; another's by an administrator alone (the handler).
    people("/chasqui.v1.PersonService/SetPassword", EVERYBODY),
    people("/chasqui.v1.PersonService/SetPersonDisabled", ADMINISTRATORS),

    open("/chasqui.v1.EnrolmentService/Enrol", Listener::Agents),
    // The certificate may have ended long ago; the request is signed by the device's key.
    open("/chasqui.v1.EnrolmentService/RenewCertificate", Listener::Agents),
    people("/chasqui.v1.EnrolmentTokenService/CreateEnrolmentToken", KEEPERS),
    people("/chasqui.v1.EnrolmentTokenService/ListEnrolmentTokens", &[Coordinator, Administrator, Auditor]),
    people("/chasqui.v1.EnrolmentTokenService/RevokeEnrolmentToken", KEEPERS),

    people("/chasqui.v1.DeviceService/ListDevices", READERS),
    // A requester names the machine a ticket is about and sees no more of it than its names (the handler).
    people("/chasqui.v1.DeviceService/GetDevice", EVERYBODY),
    people("/chasqui.v1.DeviceService/SetAdministrativeFacts", &[Technician, Lead, Coordinator, Administrator]),
    people("/chasqui.v1.DeviceService/RevokeDevice", KEEPERS),
    people("/chasqui.v1.DeviceService/ListQuarantine", READERS),
    people("/chasqui.v1.DeviceService/ResolveQuarantine", KEEPERS),
    people("/chasqui.v1.DeviceService/ImportAdministrativeFacts", &[Lead, Coordinator, Administrator]),
    people("/chasqui.v1.DeviceService/ListDeviceMatches", READERS),
    people("/chasqui.v1.DeviceService/ResolveDeviceMatch", KEEPERS),
    people("/chasqui.v1.DeviceService/SplitDevice", KEEPERS),
    people("/chasqui.v1.DeviceService/SearchDevices", READERS),
    people("/chasqui.v1.DeviceService/GetSearchFields", READERS),
    people("/chasqui.v1.DeviceService/ListSilentDevices", READERS),
    people("/chasqui.v1.DeviceService/CreateDeviceList", &[Technician, Lead, Coordinator, Administrator]),
    people("/chasqui.v1.DeviceService/ListDeviceLists", READERS),
    people("/chasqui.v1.DeviceService/GetDeviceList", READERS),
    // Another's by a coordinator or administrator alone (the handler).
    people("/chasqui.v1.DeviceService/DeleteDeviceList", &[Technician, Lead, Coordinator, Administrator]),

    device("/chasqui.v1.LinkService/Connect"),
    device("/chasqui.v1.LinkService/SendOutput"),
    device("/chasqui.v1.LinkService/OfferInventory"),
    device("/chasqui.v1.LinkService/ReportInventory"),
    device("/chasqui.v1.LinkService/SubmitResult"),
    device("/chasqui.v1.LinkService/FetchTrustDocuments"),
    device("/chasqui.v1.LinkService/FetchOrders"),

    people("/chasqui.v1.InventoryService/GetInventory", READERS),
    people("/chasqui.v1.InventoryService/ListInventoryChanges", READERS),
    people("/chasqui.v1.InventoryService/CompareInventory", READERS),
    people("/chasqui.v1.InventoryService/ListInventoryAlarms", READERS),
    people("/chasqui.v1.InventoryService/AcknowledgeInventoryAlarm", STAFF),

    people("/chasqui.v1.InventorySourceService/CreateInventorySource", ADMINISTRATORS),
    people("/chasqui.v1.InventorySourceService/ListInventorySources", &[Coordinator, Administrator, Auditor]),
    people("/chasqui.v1.InventorySourceService/RevokeInventorySource", ADMINISTRATORS),

    people("/chasqui.v1.TicketService/CreateTicket", ACTING),
    people("/chasqui.v1.TicketService/GetTicket", EVERYBODY),
    people("/chasqui.v1.TicketService/ListTickets", EVERYBODY),
    people("/chasqui.v1.TicketService/ClassifyTicket", LEADS),
    people("/chasqui.v1.TicketService/AssignTicket", STAFF),
    people("/chasqui.v1.TicketService/StartTicket", STAFF),
    people("/chasqui.v1.TicketService/HoldTicket", STAFF),
    people("/chasqui.v1.TicketService/ResumeTicket", STAFF),
    people("/chasqui.v1.TicketService/SolveTicket", STAFF),
    people("/chasqui.v1.TicketService/ApproveSolution", ACTING),
    people("/chasqui.v1.TicketService/RejectSolution", ACTING),
    people("/chasqui.v1.TicketService/CloseTicket", LEADS),
    people("/chasqui.v1.TicketService/CancelTicket", ACTING),
    people("/chasqui.v1.TicketService/CommentTicket", ACTING),
    people("/chasqui.v1.TicketService/ListTimeline", EVERYBODY),

    people("/chasqui.v1.OrderService/CreateOrder", STAFF),
    people("/chasqui.v1.OrderService/GetOrder", READERS),
    people("/chasqui.v1.OrderService/ListOrders", READERS),
    // Whose signature counts is in the people document; the role only says who may hand one in.
    people("/chasqui.v1.OrderService/AddStatement", STAFF),
    // Stopping is never refused to those who run the system.
    people("/chasqui.v1.OrderService/CancelOrder", &[Technician, Lead, Coordinator, Administrator]),
    people("/chasqui.v1.OrderService/WatchOrder", READERS),
    people("/chasqui.v1.OrderService/ExportEvidence", READERS),

    people("/chasqui.v1.TrustService/PublishTrustDocument", KEEPERS),
    people("/chasqui.v1.TrustService/GetTrustDocuments", EVERYBODY),
    people("/chasqui.v1.TrustService/PublishDefinition", KEEPERS),
    people("/chasqui.v1.TrustService/ListDefinitions", READERS),

    people("/chasqui.v1.RetirementService/AssessRetirement", READERS),

    people("/chasqui.v1.LogService/GetCheckpoint", READERS),
    people("/chasqui.v1.LogService/GetEventProof", READERS),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost::Message;

    use super::*;

    /// Every path of the API and whether nothing but the table says so.
    fn paths() -> BTreeSet<String> {
        let set = prost_types::FileDescriptorSet::decode(chasqui_proto::DESCRIPTOR_SET).unwrap();
        let mut paths = BTreeSet::new();
        for file in &set.file {
            for service in &file.service {
                for method in &service.method {
                    paths.insert(format!(
                        "/{}.{}/{}",
                        file.package(),
                        service.name(),
                        method.name()
                    ));
                }
            }
        }
        paths
    }

    #[test]
    fn the_table_and_the_api_name_the_same_calls() {
        let api = paths();
        assert!(api.len() > 40, "the descriptor set is nearly empty");
        let table: BTreeSet<String> = TABLE.iter().map(|row| row.path.to_owned()).collect();
        assert_eq!(table.len(), TABLE.len(), "a path stands twice in the table");
        let missing: Vec<_> = api.difference(&table).collect();
        let extra: Vec<_> = table.difference(&api).collect();
        assert!(missing.is_empty(), "calls without a row: {missing:?}");
        assert!(extra.is_empty(), "rows without a call: {extra:?}");
    }

    #[test]
    fn only_what_proves_itself_is_open() {
        let open: Vec<_> = TABLE
            .iter()
            .filter(|row| matches!(row.who, Who::Anyone))
            .map(|row| row.path)
            .collect();
        assert_eq!(
            open,
            [
                "/chasqui.v1.SessionService/Login",
                "/chasqui.v1.SessionService/GetServerInfo",
                "/chasqui.v1.EnrolmentService/Enrol",
                "/chasqui.v1.EnrolmentService/RenewCertificate",
            ]
        );
    }

    #[test]
    fn an_auditor_calls_nothing_that_changes_another_thing() {
        // Reading, and one's own session and password.
        let own = ["Logout", "WhoAmI", "SetPassword"];
        for row in TABLE {
            let Who::People(roles) = row.who else {
                continue;
            };
            let method = row.path.rsplit('/').next().unwrap();
            let reads = [
                "Get", "List", "Search", "Watch", "Export", "Assess", "Compare",
            ]
            .iter()
            .any(|verb| method.starts_with(verb));
            if roles.contains(&Auditor) {
                assert!(
                    reads || own.contains(&method),
                    "{} lets an auditor in",
                    row.path
                );
            }
        }
    }
}
