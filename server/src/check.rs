//! `tidelog check`: one line for each thing that is broken in a data directory.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use tidelog_sql::CatalogReader;
use tidelog_storage::check;

use crate::settings::PlaceFlags;

/// What the command line says.
#[derive(Args, Debug)]
pub(crate) struct CheckFlags {
    /// The data directory [default: ./data]
    #[arg(long, env = "TIDELOG_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    #[command(flatten)]
    place: PlaceFlags,
    /// Print one JSON object instead of lines
    #[arg(long)]
    json: bool,
}

/// Exit status 0 when everything holds, 1 when something is broken; an error when it could not be looked at.
pub(crate) fn run(flags: CheckFlags) -> anyhow::Result<ExitCode> {
    let (data_dir, cold) = flags.place.load()?;
    let data_dir = flags.data_dir.or(data_dir);
    let data_dir = data_dir.unwrap_or_else(|| PathBuf::from("./data"));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let report = runtime.block_on(check::run(data_dir, cold, |catalog| {
        Box::new(CatalogReader::new(catalog))
    }))?;
    if flags.json {
        let finding = |finding: &check::Finding| {
            serde_json::json!({
                "invariant": finding.invariant.name(), "place": finding.place, "what": finding.what,
            })
        };
        let findings: Vec<_> = report.findings.iter().map(finding).collect();
        let json = serde_json::json!({
            "sound": report.is_sound(), "findings": findings, "omitted": report.omitted,
            "tables": report.tables, "partitions": report.partitions, "transactions": report.transactions,
            "records": report.records, "files": report.files, "rows": report.rows, "entries": report.entries,
        });
        println!("{json}");
    } else {
        for finding in &report.findings {
            println!("{finding}");
        }
        if report.omitted > 0 {
            println!("and {} more", report.omitted);
        }
        println!(
            "{}: {} tables, {} partitions, {} transactions, {} records in the log, {} files, {} rows, {} keys",
            if report.is_sound() { "sound" } else { "broken" },
            report.tables,
            report.partitions,
            report.transactions,
            report.records,
            report.files,
            report.rows,
            report.entries,
        );
    }
    Ok(match report.is_sound() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
