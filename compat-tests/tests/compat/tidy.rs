//! Rules about the source that no compiler checks; docs/architecture.md gives their reasons.

use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_path_buf()
}

/// The packages named in a crate's Cargo.toml as ordinary dependencies.
fn dependencies(crate_name: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root().join(crate_name).join("Cargo.toml")).unwrap();
    let section = text
        .split("[dependencies]")
        .nth(1)
        .unwrap()
        .split("\n[")
        .next()
        .unwrap();
    let names = section
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(" ="));
    names
        .map(|(name, _)| name.split('.').next().unwrap().to_string())
        .collect()
}

#[test]
fn crates_reach_only_down() {
    let forbidden = [
        (
            "storage",
            &[
                "datafusion",
                "pgwire",
                "axum",
                "tidelog-sql",
                "tidelog-subscriptions",
                "tidelog-server",
            ][..],
        ),
        (
            "sql",
            &[
                "axum",
                "pgwire",
                "rocksdb",
                "tidelog-subscriptions",
                "tidelog-server",
            ],
        ),
        (
            "subscriptions",
            &[
                "axum",
                "pgwire",
                "rocksdb",
                "datafusion",
                "tidelog-sql",
                "tidelog-server",
            ],
        ),
        (
            "server",
            &["datafusion", "rocksdb", "parquet", "object_store"],
        ),
        (
            "compat-tests",
            &[
                "tidelog-storage",
                "tidelog-sql",
                "tidelog-subscriptions",
                "tidelog-server",
            ],
        ),
    ];
    for (name, absent) in forbidden {
        let present = dependencies(name);
        assert!(!present.is_empty(), "{name}/Cargo.toml was not understood");
        let reached: Vec<_> = present
            .iter()
            .filter(|dependency| absent.contains(&dependency.as_str()))
            .collect();
        assert!(reached.is_empty(), "{name} must not use {reached:?}");
    }
}

/// Every file of the project as git sees it, tracked or new.
fn files() -> Vec<PathBuf> {
    let mut git = Command::new("git");
    git.args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root());
    let listed = String::from_utf8(git.output().unwrap().stdout).unwrap();
    listed
        .lines()
        .map(|path| root().join(path))
        .filter(|path| path.is_file())
        .collect()
}

#[test]
fn no_file_names_a_folder_of_one_machine() {
    // Written in pieces, so that this file passes its own test.
    let folders = ["work", "root", "farm"].map(|name| format!("/{name}/"));
    let files = files();
    assert!(files.len() > 10);
    for path in files {
        let Ok(text) = std::fs::read_to_string(&path) else {
            continue;
        };
        for (number, line) in text.lines().enumerate() {
            for folder in &folders {
                for (at, _) in line.match_indices(folder.as_str()) {
                    // `frame/work/…` is some relative path; a path from the top follows no name.
                    let before = line[..at].chars().next_back();
                    let relative =
                        before.is_some_and(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
                    assert!(relative, "{}:{}: {line}", path.display(), number + 1);
                }
            }
        }
    }
}

#[test]
fn source_files_stay_readable() {
    for path in files()
        .iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
    {
        let lines = std::fs::read_to_string(path).unwrap().lines().count();
        assert!(
            lines <= 800,
            "{} has {lines} lines: split it by idea",
            path.display()
        );
        assert!(
            !path.ends_with("mod.rs"),
            "{}: foo.rs and foo/, no mod.rs",
            path.display()
        );
    }
}
