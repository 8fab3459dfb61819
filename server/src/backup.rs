//! `tidelog backup`, `backups` and `restore`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use tidelog_storage::backup::{self, Listed};
use tidelog_storage::{ColumnType, DatumRef};

use crate::admin::ServerFlags;
use crate::settings::PlaceFlags;

/// What the command line says of `backup`.
#[derive(Args, Debug)]
pub(crate) struct BackupFlags {
    /// A folder or the URL of an object store (file://, s3://, gs://, az://), as the server sees it
    target: String,
    #[command(flatten)]
    server: ServerFlags,
}

/// What the command line says of `backups`.
#[derive(Args, Debug)]
pub(crate) struct BackupsFlags {
    /// A folder or the URL of an object store
    target: String,
    /// Read every file of them, and say what is not as it was written
    #[arg(long)]
    verify: bool,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

/// What the command line says of `restore`.
#[derive(Args, Debug)]
pub(crate) struct RestoreFlags {
    /// A folder or the URL of an object store
    target: String,
    /// The data directory to make; empty, or not there yet
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    #[command(flatten)]
    place: PlaceFlags,
    /// The number of the backup [default: the newest]
    #[arg(long, value_name = "N")]
    at: Option<u64>,
}

/// A folder with its whole path; a URL as it is.
fn whole(target: &str) -> anyhow::Result<String> {
    if target.contains("://") {
        return Ok(target.to_string());
    }
    let path = std::path::absolute(target)?;
    let text = path.to_str().context("the path is not UTF-8")?;
    Ok(text.to_string())
}

pub(crate) fn back_up(flags: &BackupFlags) -> anyhow::Result<()> {
    let target = whole(&flags.target)?;
    let rows = flags.server.run(&format!(
        "CALL tidelog.backup('{}')",
        target.replace('\'', "''")
    ))?;
    let row = rows.into_iter().next().context("the server said nothing")?;
    let value = |name: &str| {
        let found = row.iter().find(|(column, _)| column == name);
        found
            .and_then(|(_, value)| value.clone())
            .unwrap_or_default()
    };
    println!(
        "backup {} at {}: {} files, {} bytes; copied {} files, {} bytes",
        value("number"),
        value("seq"),
        value("files"),
        value("bytes"),
        value("copied_files"),
        value("copied_bytes"),
    );
    Ok(())
}

/// Exit status 1 when a list or, with `--verify`, a file of a backup is not as it was written; an error when it could
/// not be looked at.
pub(crate) fn list(flags: &BackupsFlags) -> anyhow::Result<ExitCode> {
    let target = whole(&flags.target)?;
    let listed = runtime()?.block_on(backup::list(&target, flags.verify))?;
    let mut status = ExitCode::SUCCESS;
    for Listed {
        number,
        backup,
        damage,
    } in listed
    {
        let sound = backup.is_ok() && damage.is_empty();
        if !sound {
            status = ExitCode::FAILURE;
        }
        match (backup, flags.json) {
            (Ok(backup), false) => {
                for what in &damage {
                    println!("{what}");
                }
                let verified = match (flags.verify, sound) {
                    (false, _) => "",
                    (true, true) => ", sound",
                    (true, false) => ", damaged",
                };
                println!(
                    "backup {number} of {} at {}: {} files, {} bytes{verified}",
                    timestamp(backup.created_ms),
                    backup.seq,
                    backup.files,
                    backup.bytes
                );
            }
            (Ok(backup), true) => {
                let mut json = serde_json::json!({
                    "number": number, "created": timestamp(backup.created_ms), "seq": backup.seq.as_i64().to_string(),
                    "files": backup.files, "bytes": backup.bytes,
                });
                if flags.verify {
                    json["sound"] = sound.into();
                    json["damage"] = damage.into();
                }
                println!("{json}");
            }
            (Err(error), false) => println!("backup {number}: {error}"),
            (Err(error), true) => {
                let json = serde_json::json!({
                    "number": number, "sound": false, "damage": [error.to_string()],
                });
                println!("{json}");
            }
        }
    }
    Ok(status)
}

pub(crate) fn restore(flags: RestoreFlags) -> anyhow::Result<()> {
    let target = whole(&flags.target)?;
    let (_, cold) = flags.place.load()?;
    let restore = backup::restore(&target, &flags.data_dir, flags.at, &cold);
    let backup::RestoreReport { backup } = runtime()?.block_on(restore)?;
    println!(
        "restored backup {} of {} at {}: {} files, {} bytes",
        backup.number,
        timestamp(backup.created_ms),
        backup.seq,
        backup.files,
        backup.bytes
    );
    Ok(())
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
}

/// As timestamptz is shown, in UTC.
fn timestamp(unix_ms: i64) -> String {
    let mut text = String::new();
    let value = DatumRef::TimestampTz(unix_ms.saturating_mul(1000));
    let style = tidelog_sql::text::Style::default();
    tidelog_sql::text::write(value, ColumnType::TimestampTz(None), style, &mut text);
    text
}
