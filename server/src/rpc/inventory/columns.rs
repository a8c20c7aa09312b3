//! The few facts that lists of devices show, taken out of the sections. What was not observed stays empty.

use chasqui_proto::v1::{self, section_facts::Facts};
use chasqui_store::inventory::{self as store, ListColumns};
use chasqui_store::{StoreError, Tx, device};
use prost::Message;

/// Most characters of a column.
const MAX_CHARS: usize = 200;

/// Writes the columns of a device from what it shows now.
pub fn refresh(tx: &mut Tx, device_id: &str, now_ms: i64) -> Result<(), StoreError> {
    let Some(known) = device::get(tx, device_id)? else {
        return Ok(());
    };
    let mut columns = ListColumns::default();
    // Not the long sections: a list of programs is put together from thousands of rows.
    for (_, facts) in store::sections_for_search(tx, device_id)? {
        match v1::SectionFacts::decode(facts.as_slice())
            .ok()
            .and_then(|facts| facts.facts)
        {
            Some(Facts::Hardware(hardware)) => {
                columns.manufacturer = column(hardware.manufacturer);
                columns.model = column(hardware.model);
            }
            Some(Facts::Identity(identity)) => {
                columns.serial_number = column(identity.system_serial)
            }
            Some(Facts::OperatingSystem(system)) => {
                columns.platform = column(system.name.or(system.product))
            }
            _ => {}
        }
    }
    columns.search_key = device::search_key(&known.host_name, &known.facts.plate, &columns.model);
    store::set_list_columns(tx, device_id, &columns, now_ms)
}

fn column(text: Option<String>) -> String {
    text.unwrap_or_default()
        .chars()
        .filter(|ch| !ch.is_control())
        .take(MAX_CHARS)
        .collect()
}
