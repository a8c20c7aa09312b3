//! What people type about a device: plate, place, officer, purchase. Reading and checking each fact, telling two states
//! apart, joining two devices' facts. Nothing here knows what an agent observed: the two never mix.

mod read;

use serde::{Deserialize, Serialize};

use crate::Text;

pub use read::{day, money};

/// Administrative facts. Empty or nothing means not known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// Inventory plate.
    pub plate: String,
    /// `YYYY-MM-DD`.
    pub purchase_date: Option<String>,
    /// Organisational unit.
    pub dependency: String,
    /// Officer answerable.
    pub responsible: String,
    /// Building, floor, room or desk.
    pub seat: String,
    /// Contract under which it was bought.
    pub contract: String,
    /// `YYYY-MM-DD`, last day.
    pub warranty_end: Option<String>,
    /// Who sold it.
    pub supplier: String,
    /// Number of the invoice.
    pub invoice: String,
    /// Free text of several lines.
    pub note: String,
    /// Purchase price in hundredths of the currency.
    pub cost_minor: Option<i64>,
    /// ISO 4217; empty without a cost.
    pub currency: String,
}

/// The currency of a cost without one.
pub const CURRENCY: &str = "COP";

macro_rules! fields {
    ($($variant:ident, $name:literal, $es:literal, $en:literal;)*) => {
        /// One administrative fact.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Field {
            $(#[doc = $en] $variant,)*
        }

        impl Field {
            /// Every field, in the order people read them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// As in the API.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// For people.
            pub fn title(self) -> Text {
                match self { $(Self::$variant => Text::new($es, $en),)* }
            }

            /// The field of this name.
            pub fn of_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

fields! {
    Plate, "plate", "placa", "plate";
    Dependency, "dependency", "dependencia", "unit";
    Seat, "seat", "puesto", "seat";
    Responsible, "responsible", "cuentadante", "responsible officer";
    PurchaseDate, "purchase_date", "fecha de compra", "purchase date";
    Cost, "cost", "costo", "cost";
    Currency, "currency", "moneda", "currency";
    Contract, "contract", "contrato", "contract";
    Invoice, "invoice", "factura", "invoice";
    Supplier, "supplier", "proveedor", "supplier";
    WarrantyEnd, "warranty_end", "fin de la garantía", "end of the warranty";
    Note, "note", "nota", "note";
}

impl Field {
    /// What a client that names no fields writes: what the API had at first.
    pub const FIRST: &[Self] = &[
        Self::Plate,
        Self::PurchaseDate,
        Self::Dependency,
        Self::Responsible,
    ];

    /// Names a person, or may: its text stays out of what is sealed.
    pub fn is_personal(self) -> bool {
        matches!(self, Self::Responsible | Self::Note)
    }
}

impl Facts {
    /// A fact as text: dates as `YYYY-MM-DD`, money as `1234567.89`, empty when not known.
    pub fn text(&self, field: Field) -> String {
        match field {
            Field::Plate => self.plate.clone(),
            Field::Dependency => self.dependency.clone(),
            Field::Seat => self.seat.clone(),
            Field::Responsible => self.responsible.clone(),
            Field::PurchaseDate => self.purchase_date.clone().unwrap_or_default(),
            Field::Cost => self.cost_minor.map(read::money_text).unwrap_or_default(),
            Field::Currency => self.currency.clone(),
            Field::Contract => self.contract.clone(),
            Field::Invoice => self.invoice.clone(),
            Field::Supplier => self.supplier.clone(),
            Field::WarrantyEnd => self.warranty_end.clone().unwrap_or_default(),
            Field::Note => self.note.clone(),
        }
    }

    /// Writes a fact from what a person typed or a spreadsheet holds; empty text makes it not known.
    ///
    /// # Errors
    /// What is wrong and what would be accepted; nothing has changed then.
    pub fn set(&mut self, field: Field, text: &str, now_ms: i64) -> Result<(), Text> {
        let text = text.trim();
        let known = !text.is_empty();
        match field {
            Field::Plate => self.plate = line(text)?,
            Field::Dependency => self.dependency = line(text)?,
            Field::Seat => self.seat = line(text)?,
            Field::Responsible => self.responsible = line(text)?,
            Field::Contract => self.contract = line(text)?,
            Field::Invoice => self.invoice = line(text)?,
            Field::Supplier => self.supplier = line(text)?,
            Field::Note => self.note = read::note(text)?,
            Field::PurchaseDate => {
                self.purchase_date = known.then(|| read::past_day(text, now_ms)).transpose()?;
            }
            Field::WarrantyEnd => {
                self.warranty_end = known.then(|| read::warranty_day(text)).transpose()?;
            }
            Field::Cost => {
                let (minor, currency) = match known.then(|| money(text)).transpose()? {
                    Some((minor, currency)) => (Some(minor), currency),
                    None => (None, None),
                };
                self.cost_minor = minor;
                match (minor, currency) {
                    (None, _) => self.currency.clear(),
                    (Some(_), Some(currency)) => self.currency = currency,
                    (Some(_), None) if self.currency.is_empty() => {
                        CURRENCY.clone_into(&mut self.currency)
                    }
                    (Some(_), None) => {}
                }
            }
            Field::Currency => {
                let code = read::currency(text)?;
                self.currency = match (self.cost_minor, known) {
                    (Some(_), false) => CURRENCY.to_owned(),
                    (None, _) => String::new(),
                    (Some(_), true) => code,
                };
            }
        }
        Ok(())
    }

    /// What differs between two states: field, before, after.
    pub fn changes(&self, after: &Self) -> Vec<(Field, String, String)> {
        Field::ALL
            .iter()
            .map(|field| (*field, self.text(*field), after.text(*field)))
            .filter(|(_, before, after)| before != after)
            .collect()
    }

    /// Facts that both know and that differ. A cost and its currency are one fact.
    pub fn conflicts(&self, other: &Self) -> Vec<Field> {
        Field::ALL
            .iter()
            .copied()
            .filter(|field| *field != Field::Currency)
            .filter(|field| {
                let (mine, theirs) = (self.text(*field), other.text(*field));
                let money = *field == Field::Cost && self.currency != other.currency;
                !mine.is_empty() && !theirs.is_empty() && (mine != theirs || money)
            })
            .collect()
    }

    /// These facts, with the other's where nothing is known.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        let pick =
            |mine: &String, theirs: &String| if mine.is_empty() { theirs } else { mine }.clone();
        let money = if self.cost_minor.is_some() {
            self
        } else {
            other
        };
        Self {
            plate: pick(&self.plate, &other.plate),
            purchase_date: self
                .purchase_date
                .clone()
                .or_else(|| other.purchase_date.clone()),
            dependency: pick(&self.dependency, &other.dependency),
            responsible: pick(&self.responsible, &other.responsible),
            seat: pick(&self.seat, &other.seat),
            contract: pick(&self.contract, &other.contract),
            warranty_end: self
                .warranty_end
                .clone()
                .or_else(|| other.warranty_end.clone()),
            supplier: pick(&self.supplier, &other.supplier),
            invoice: pick(&self.invoice, &other.invoice),
            note: pick(&self.note, &other.note),
            cost_minor: money.cost_minor,
            currency: money.currency.clone(),
        }
    }

    /// Copies one fact; a cost with its currency.
    pub fn copy(&mut self, field: Field, from: &Self) {
        match field {
            Field::Plate => self.plate.clone_from(&from.plate),
            Field::Dependency => self.dependency.clone_from(&from.dependency),
            Field::Seat => self.seat.clone_from(&from.seat),
            Field::Responsible => self.responsible.clone_from(&from.responsible),
            Field::PurchaseDate => self.purchase_date.clone_from(&from.purchase_date),
            Field::Cost | Field::Currency => {
                self.cost_minor = from.cost_minor;
                self.currency.clone_from(&from.currency);
            }
            Field::Contract => self.contract.clone_from(&from.contract),
            Field::Invoice => self.invoice.clone_from(&from.invoice),
            Field::Supplier => self.supplier.clone_from(&from.supplier),
            Field::WarrantyEnd => self.warranty_end.clone_from(&from.warranty_end),
            Field::Note => self.note.clone_from(&from.note),
        }
    }

    /// Undoes a change on what is in force now: what still is as the change left it becomes what it was before.
    ///
    /// # Returns
    /// The facts, and the fields that were changed again since and therefore stay.
    pub fn undo(&self, before: &Self, after: &Self) -> (Self, Vec<Field>) {
        let mut facts = self.clone();
        let mut kept = Vec::new();
        for (field, _, left) in before.changes(after) {
            if self.text(field) == left {
                facts.copy(field, before);
            } else {
                kept.push(field);
            }
        }
        (facts, kept)
    }
}

fn line(text: &str) -> Result<String, Text> {
    read::line(text, 200)
}

#[cfg(test)]
mod tests;
