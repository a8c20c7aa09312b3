//! Rows of devices as the API has them.

use chasqui_domain::device_facts::{Facts, Field};
use chasqui_domain::ids::DeviceId;
use chasqui_proto::error::bad_field;
use chasqui_proto::v1::{AdministrativeFacts, Device, DeviceState, Quarantine};
use chasqui_store::device::{self, State};
use tonic::Status;

use crate::context::Context;

/// What people typed, as the API has it.
pub fn encode_facts(facts: &Facts) -> AdministrativeFacts {
    AdministrativeFacts {
        plate: facts.text(Field::Plate),
        purchase_date: facts.text(Field::PurchaseDate),
        dependency: facts.text(Field::Dependency),
        responsible: facts.text(Field::Responsible),
        seat: facts.text(Field::Seat),
        contract: facts.text(Field::Contract),
        warranty_end: facts.text(Field::WarrantyEnd),
        supplier: facts.text(Field::Supplier),
        invoice: facts.text(Field::Invoice),
        note: facts.text(Field::Note),
        cost: facts.text(Field::Cost),
        currency: facts.text(Field::Currency),
    }
}

/// What a request says of a fact.
pub fn typed(facts: &AdministrativeFacts, field: Field) -> &str {
    match field {
        Field::Plate => &facts.plate,
        Field::PurchaseDate => &facts.purchase_date,
        Field::Dependency => &facts.dependency,
        Field::Responsible => &facts.responsible,
        Field::Seat => &facts.seat,
        Field::Contract => &facts.contract,
        Field::WarrantyEnd => &facts.warranty_end,
        Field::Supplier => &facts.supplier,
        Field::Invoice => &facts.invoice,
        Field::Note => &facts.note,
        Field::Cost => &facts.cost,
        Field::Currency => &facts.currency,
    }
}

/// A device as the API has it.
pub fn encode(ctx: &Context, device: &device::Device) -> Device {
    let id: Option<DeviceId> = device.id.parse().ok();
    let connected = id.is_some_and(|id| ctx.fleet.is_connected(id));
    let heard_at_ms = id.and_then(|id| ctx.fleet.last_seen_ms(id));
    let model = match (device.manufacturer.as_str(), device.model.as_str()) {
        ("", model) => model.to_owned(),
        (maker, model) if model.starts_with(maker) => model.to_owned(),
        (maker, model) => format!("{maker} {model}").trim().to_owned(),
    };
    Device {
        id: device.id.clone(),
        // What a third party's agent reports has no key: its column holds no fingerprint.
        fingerprint: if device.public_key.is_empty() {
            bytes::Bytes::new()
        } else {
            hex::decode(&device.fingerprint).unwrap_or_default().into()
        },
        origin: device.origin.clone(),
        host_name: device.host_name.clone(),
        state: encode_state(device.state).into(),
        connected,
        last_seen_at_ms: device.last_seen_at_ms.max(heard_at_ms).unwrap_or(0),
        enrolled_at_ms: device.enrolled_at_ms,
        agent_version: device.agent_version.clone(),
        clock_offset_ms: device.clock_offset_ms,
        administrative: Some(encode_facts(&device.facts)),
        model,
        operating_system: device.platform.clone(),
        public_key: device.public_key.clone().into(),
        facts_version: device.facts_version,
        merged_into: device.merged_into.clone().unwrap_or_default(),
        continues: Vec::new(),
    }
}

pub fn encode_state(state: State) -> DeviceState {
    match state {
        State::Active => DeviceState::Active,
        State::Quarantined => DeviceState::Quarantined,
        State::Revoked => DeviceState::Revoked,
        State::Retired => DeviceState::Retired,
    }
}

pub fn decode_state(state: i32) -> Result<Option<State>, Status> {
    match DeviceState::try_from(state) {
        Ok(DeviceState::Unspecified) => Ok(None),
        Ok(DeviceState::Active) => Ok(Some(State::Active)),
        Ok(DeviceState::Revoked) => Ok(Some(State::Revoked)),
        Ok(DeviceState::Quarantined) => Ok(Some(State::Quarantined)),
        Ok(DeviceState::Retired) => Ok(Some(State::Retired)),
        Err(_) => Err(bad_field(
            "state",
            "is a state this coordinator does not know",
        )),
    }
}

pub fn encode_quarantine(sighting: device::Quarantine) -> Quarantine {
    Quarantine {
        id: sighting.id,
        device_id: sighting.device_id,
        host_name: sighting.host_name,
        seen_at_ms: sighting.seen_at_ms,
        first_boot_id: sighting.known.boot_id,
        second_boot_id: sighting.other.boot_id,
        first_host_name: sighting.known.host_name,
        second_host_name: sighting.other.host_name,
    }
}
