//! `chasqui-server backup` and `restore`: copies of everything the coordinator knows, taken while it serves, and put
//! into an empty database of either engine. The data folder's keys are not part of a backup: they lie beside it.

use std::path::Path;

use anyhow::{Context as _, bail};
use chasqui_base::text::Lang;
use chasqui_store::backup::{self, Summary};
use chasqui_store::{Options, Store};

use crate::config::Config;

/// Takes a backup of the store of this configuration into a new file. The coordinator may be serving.
///
/// # Errors
/// The file is there already, cannot be written or does not read back; the store cannot be opened.
pub fn backup(config: &Config, file: &Path, lang: Lang) -> anyhow::Result<()> {
    let store = Store::open(&config.store.url, &Options::existing()).context("the database")?;
    let summary = backup::write(&store, file)?;
    tell(&summary, lang);
    Ok(())
}

/// Restores a backup into an empty database and checks its record.
///
/// # Errors
/// The file is damaged, the database is not empty, or the restored record does not agree with itself.
pub fn restore(file: &Path, into: &str, lang: Lang) -> anyhow::Result<()> {
    let restored = backup::restore(file, into)?;
    tell(&restored.summary, lang);
    println!(
        "{}: {}",
        lang.pick("época del almacén", "store epoch"),
        restored.epoch
    );
    if !restored.report.holds() {
        for finding in &restored.report.findings {
            eprintln!("  {finding}");
        }
        bail!(
            "{}",
            lang.pick(
                "el registro restaurado no concuerda; conserve la copia y revise lo anterior",
                "the restored record does not agree with itself; keep the backup and look at the above"
            )
        );
    }
    println!(
        "{}",
        lang.pick(
            "el registro restaurado concuerda",
            "the restored record agrees with itself"
        )
    );
    Ok(())
}

fn tell(summary: &Summary, lang: Lang) {
    println!(
        "{}: {} ({} {}, {} {})",
        lang.pick("copia", "backup"),
        summary.digest,
        summary.tables,
        lang.pick("tablas", "tables"),
        summary.rows,
        lang.pick("filas", "rows"),
    );
}
