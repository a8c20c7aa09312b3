//! The inventory in words, for a person at the machine.

use chasqui_base::text::Lang;

use super::Inventory;

/// A page of text.
pub fn render_text(_inventory: &Inventory, _lang: Lang) -> String {
    String::new()
}
