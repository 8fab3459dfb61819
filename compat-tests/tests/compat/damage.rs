//! Damage: what of it is noticed, by whom, and what is said.

use std::path::Path;

use tidelog_compat_tests::Server;

use crate::operations::{check, files, said, tidelog};

/// The files of a folder whose names end so.
fn ending(folder: &Path, end: &str) -> Vec<String> {
    let mut found = files(folder);
    found.retain(|path| path.ends_with(end));
    found
}

/// Changes a bit of a file, so far into it.
fn flip(path: &str, at: impl Fn(usize) -> usize) {
    let mut bytes = std::fs::read(path).unwrap();
    let at = at(bytes.len());
    bytes[at] ^= 0x10;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn check_tells_what_is_broken() {
    let mut server = Server::start();
    server.peer().run(
        "CREATE TABLE t (id int8 PRIMARY KEY, body text);
         INSERT INTO t SELECT g, 'body ' || g FROM generate_series(1, 5000) g;
         CALL tidelog.flush('t');
         UPDATE t SET body = 'new' WHERE id < 100; DELETE FROM t WHERE id > 4900;",
    );
    let (status, text) = check(&server.data(), &[]);
    assert_eq!(status, 2, "{text}");
    assert!(text.contains("is in use by another server"), "{text}");
    server.kill();
    let (status, text) = check(&server.data(), &[]);
    assert_eq!(status, 0, "{text}");
    assert!(
        text.starts_with("sound: 1 tables, 1 partitions") && text.contains("4900 rows"),
        "{text}"
    );

    let mut cold = files(&server.data().join("cold"));
    cold.retain(|path| path.ends_with(".parquet"));
    let cold = cold.pop().unwrap();
    let whole = std::fs::read(&cold).unwrap();
    std::fs::write(&cold, &whole[..whole.len() - 1]).unwrap();
    let (status, text) = check(&server.data(), &[]);
    assert_eq!(status, 1, "{text}");
    assert!(text.starts_with("files-agree: public.t: "), "{text}");
    std::fs::remove_file(&cold).unwrap();
    let (status, text) = check(&server.data(), &["--json"]);
    assert_eq!(status, 1, "{text}");
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["sound"], false);
    assert_eq!(report["findings"][0]["invariant"], "files-exist");
    std::fs::write(&cold, &whole).unwrap();
    assert_eq!(check(&server.data(), &[]).0, 0);

    let nowhere = server.data().join("nowhere");
    let (status, text) = check(&nowhere, &[]);
    assert_eq!((status, text.lines().count()), (2, 1), "{text}");
}

#[test]
fn bytes_that_changed_in_a_cold_file_are_told_and_not_handed_on() {
    let mut server = Server::start();
    server.peer().run(
        "CREATE TABLE t (id int8 PRIMARY KEY, body text);
         INSERT INTO t SELECT g, md5(g::text) FROM generate_series(1, 5000) g;
         CALL tidelog.flush('t');
         INSERT INTO t SELECT g, md5(g::text) FROM generate_series(5001, 6000) g;
         CALL tidelog.flush('t');",
    );
    let cold = files(&server.data().join("cold"));
    let parquet = |path: &&String| path.ends_with(".parquet");
    let cold = cold.iter().find(parquet).unwrap();
    let whole = std::fs::read(cold).unwrap();
    let mut changed = whole.clone();
    // In the pages of body, which no key and no bounds tell of.
    let at = whole.len() / 2;
    changed[at] ^= 0x10;
    std::fs::write(cold, &changed).unwrap();
    let told = "does not have the bytes that were written";
    let compacted = server.peer().try_run("CALL tidelog.compact('t');");
    assert!(
        compacted.as_ref().is_err_and(|error| error.contains(told)),
        "{compacted:?}"
    );
    let backups = tempfile::tempdir().unwrap();
    let target = backups.path().to_str().unwrap();
    let mut backup = tidelog(&["backup", target, "--data-dir"]);
    let done = backup.arg(server.data()).output().unwrap();
    assert!(
        !done.status.success() && said(&done).contains(told),
        "{}",
        said(&done)
    );
    server.kill();
    let (status, text) = check(&server.data(), &[]);
    assert!(status == 1 && text.contains(told), "{status} {text}");
    std::fs::write(cold, &whole).unwrap();
    assert_eq!(check(&server.data(), &[]).0, 0);
}

/// A wrong byte anywhere in a file, of which the server knows nothing yet: whoever reads where it stands is told so, and nobody
/// is handed it.
#[test]
fn no_query_shows_a_byte_that_changed_in_a_cold_file() {
    let mut server = Server::start();
    server.peer().run(
        "CREATE TABLE t (id int8 PRIMARY KEY, room int4, body text) WITH (resume_window = '1ms', history_window = '1d');
         CREATE INDEX ON t (room);
         INSERT INTO t SELECT g, g % 999, md5(g::text) || md5((g + 1)::text) FROM generate_series(1, 30000) g;
         CALL tidelog.flush('t'); CALL tidelog.trim();
         CREATE TABLE small (id int8 PRIMARY KEY, body text);
         INSERT INTO small VALUES (1, 'one'); CALL tidelog.flush('small');",
    );
    let seq = server.peer().value("SELECT max(_seq) FROM t");
    let queries = [
        "SELECT count(*), sum(id), sum(room), md5(string_agg(body, '' ORDER BY id)) FROM t"
            .to_string(),
        "SELECT id, body FROM t WHERE id IN (1, 17000)".to_string(),
        "SELECT id, body FROM t WHERE room = 7 ORDER BY id".to_string(),
        format!("SELECT sum(room), max(body) FROM t AS OF SEQ {seq}"),
        "SELECT count(*) FROM t WHERE body = 'nobody'".to_string(),
        "UPDATE t SET room = room WHERE id = 400 RETURNING id, body; ROLLBACK".to_string(),
    ];
    let answer = |peer: &tidelog_compat_tests::Peer, query: &str| {
        peer.try_run(&format!("\\set VERBOSITY verbose\nBEGIN; {query};"))
    };
    let peer = server.peer();
    let right: Vec<_> = queries
        .iter()
        .map(|query| answer(&peer, query).unwrap())
        .collect();
    let parquet = ending(&server.data().join("cold"), ".parquet");
    let [large, small] = parquet.try_into().unwrap();
    let (large, small) = match large.contains("/t-") {
        true => (large, small),
        false => (small, large),
    };
    let whole = std::fs::read(&large).unwrap();
    assert!(whole.len() > 600_000, "{}", whole.len());
    let (mut refused, places) = ([0; 6], 12);
    for place in 0..=places {
        server.kill();
        // The last is in the footer.
        flip(&large, |length| {
            (length * place / places).clamp(4, length - 9)
        });
        server.start_again();
        let peer = server.peer();
        for (at, query) in queries.iter().enumerate() {
            match answer(&peer, query) {
                Ok(told) => assert_eq!(told, right[at], "place {place}: {query}"),
                Err(error) => {
                    assert!(
                        error.contains("XX001")
                            && error.contains(".parquet does not have the bytes that were written"),
                        "place {place}: {query}: {error}"
                    );
                    refused[at] += 1;
                }
            }
        }
        std::fs::write(&large, &whole).unwrap();
        for (at, query) in queries.iter().enumerate() {
            assert_eq!(
                answer(&peer, query).unwrap(),
                right[at],
                "place {place}: {query}"
            );
        }
    }
    // The first reads all of it; every other one at least what the footer says.
    assert!(
        refused[0] > places - 2 && refused.iter().all(|refused| *refused > 0),
        "{refused:?}"
    );
    flip(&small, |length| length / 2);
    let told = server.peer().try_run("SELECT * FROM small;");
    assert!(
        told.as_ref()
            .is_err_and(|error| error.contains("does not have the bytes")),
        "{told:?}"
    );
}

#[test]
fn check_says_what_it_was_not_told_of() {
    let cold = tempfile::tempdir().unwrap();
    let place = ["--cold", cold.path().to_str().unwrap()];
    let mut server = Server::start_with(&place);
    server.peer().run(
        "CREATE TABLE t (id int8 PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 5000);",
    );
    server.restart();
    server.terminate();
    // Nothing lies there yet.
    let (status, text) = check(&server.data(), &[]);
    assert_eq!(status, 0, "{text}");
    server.start_again();
    server.peer().run("CALL tidelog.flush('t');");
    server.terminate();
    let (status, text) = check(&server.data(), &[]);
    assert_eq!(status, 2, "{text}");
    let said = "data/cold cannot be used: it is not there, and the database has files in its default storage";
    assert!(text.contains(said) && text.lines().count() == 1, "{text}");
    let (status, text) = check(&server.data(), &place);
    assert_eq!(status, 0, "{text}");
}

#[test]
fn a_damaged_block_does_not_end_a_check() {
    let mut server = Server::start();
    server.peer().run(
        "CREATE TABLE a (id int8 PRIMARY KEY, body text);
         CREATE TABLE b (id int8 PRIMARY KEY, body text);
         INSERT INTO a SELECT g, md5(g::text) FROM generate_series(1, 20000) g;
         INSERT INTO b SELECT g, md5(g::text) FROM generate_series(1, 2000) g;
         CALL tidelog.flush('b');",
    );
    // The next start makes tables of the log.
    server.restart();
    server.terminate();
    assert_eq!(check(&server.data(), &[]).0, 0);
    let tables = ending(&server.data().join("hot"), ".sst");
    let size = |path: &&String| std::fs::metadata(path).unwrap().len();
    let log = tables.iter().max_by_key(size).unwrap();
    flip(log, |length| length / 4);
    let cold = ending(&server.data().join("cold"), ".parquet");
    flip(&cold[0], |length| length / 2);
    let (status, text) = check(&server.data(), &[]);
    assert_eq!(status, 1, "{text}");
    let name = log.rsplit('/').next().unwrap();
    for (invariant, what) in [
        ("records-decode: public.a: ", "block checksum mismatch"),
        ("records-decode: public.a: ", name),
        ("files-agree: public.b: ", "does not have the bytes"),
    ] {
        let told = |line: &str| line.starts_with(invariant) && line.contains(what);
        assert!(text.lines().any(told), "{invariant}{what}:\n{text}");
    }
    assert!(text.contains("\nbroken: 2 tables"), "{text}");
}

#[test]
fn a_cold_file_that_cannot_be_read_is_named() {
    let mut server = Server::start();
    // One that is fetched whole, and one that is read in parts.
    for rows in [200, 5000] {
        server.peer().run(&format!(
            "CREATE TABLE t{rows} (id int8 PRIMARY KEY, body text);
             INSERT INTO t{rows} SELECT g, md5(g::text) FROM generate_series(1, {rows}) g;
             CALL tidelog.flush('t{rows}');"
        ));
    }
    server.terminate();
    let cold = ending(&server.data().join("cold"), ".parquet");
    let whole: Vec<_> = cold
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect();
    assert!(whole[0].len().max(whole[1].len()) > 100_000);
    let fails = |server: &Server| {
        for path in &cold {
            let name = path.split_once("/cold/").unwrap().1;
            let table = ["t200", "t5000"].map(|table| {
                let query = format!("SELECT max(body) FROM {table};");
                server.peer().try_run(&query).unwrap_err()
            });
            assert!(table.iter().any(|error| error.contains(name)), "{table:?}");
        }
    };
    // In the footer, which the file's last bytes tell the length of.
    for (path, whole) in cold.iter().zip(&whole) {
        let mut bytes = whole.clone();
        let end = bytes.len() - 8;
        let footer = u32::from_le_bytes(bytes[end..end + 4].try_into().unwrap()) as usize;
        bytes[end - footer..][..40].fill(0xFF);
        std::fs::write(path, bytes).unwrap();
    }
    server.start_again();
    fails(&server);
    server.terminate();
    for (path, whole) in cold.iter().zip(&whole) {
        std::fs::write(path, &whole[..whole.len() / 2]).unwrap();
    }
    server.start_again();
    fails(&server);
    for path in &cold {
        std::fs::remove_file(path).unwrap();
    }
    fails(&server);
}

#[test]
fn backups_are_verified() {
    let server = Server::start();
    server.peer().run(
        "CREATE TABLE t (id int8 PRIMARY KEY, body text);
         INSERT INTO t SELECT g, md5(g::text) FROM generate_series(1, 5000) g;
         CALL tidelog.flush('t');",
    );
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().to_str().unwrap();
    let list = |more: &[&str]| {
        let done = tidelog(&["backups", target]).args(more).output().unwrap();
        (done.status.code().unwrap(), said(&done))
    };
    let back_up = || {
        server
            .peer()
            .run(&format!("CALL tidelog.backup('{target}');"))
    };
    back_up();
    server
        .peer()
        .run("CREATE TABLE later (id int8 PRIMARY KEY);");
    back_up();
    // What somebody else left there is not one of them.
    let lists = folder.path().join("backups");
    for stray in ["9.json", "notes.json", "00000007.json~"] {
        std::fs::write(lists.join(stray), "{}").unwrap();
    }
    let (status, text) = list(&[]);
    assert_eq!((status, text.lines().count()), (0, 2), "{text}");
    let (status, text) = list(&["--verify"]);
    assert_eq!(status, 0, "{text}");
    assert!(text.lines().all(|line| line.ends_with(", sound")), "{text}");

    // The cold file, which both have, and one of the first backup's alone.
    let text = std::fs::read_to_string(lists.join("00000001.json")).unwrap();
    let first: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    let second = std::fs::read_to_string(lists.join("00000002.json")).unwrap();
    let of_first = first["files"].as_array().unwrap();
    let stored = |file: &serde_json::Value| {
        let digest = file["sha256"].as_str().unwrap();
        let path = folder.path().join("files").join(digest);
        (digest.to_string(), path.to_str().unwrap().to_string())
    };
    let cold = of_first.iter().find(|file| {
        let path = file["path"].as_str().unwrap();
        path.starts_with("cold/")
    });
    let (shared, path) = stored(cold.unwrap());
    flip(&path, |length| length / 2);
    let only = of_first.iter().map(stored);
    let mut only = only.filter(|(digest, _)| !second.contains(digest));
    let (lost, path) = only.next().unwrap();
    std::fs::remove_file(path).unwrap();
    let (status, text) = list(&["--verify"]);
    assert_eq!(status, 1, "{text}");
    let lines: Vec<_> = text.lines().collect();
    let told = |digest: &str, how: &str| {
        let told =
            |line: &&&str| line.starts_with(&format!("files/{digest} (")) && line.ends_with(how);
        lines.iter().filter(told).count()
    };
    assert_eq!(
        told(&shared, "has not the contents that it should have"),
        2,
        "{text}"
    );
    assert_eq!(told(&lost, "is missing"), 1, "{text}");
    let damaged = lines.iter().filter(|line| line.ends_with(", damaged"));
    assert_eq!(damaged.count(), 2, "{text}");
    let (status, text) = list(&["--verify", "--json"]);
    let second: serde_json::Value = serde_json::from_str(text.lines().nth(1).unwrap()).unwrap();
    assert_eq!((status, &second["sound"]), (1, &false.into()));
    assert_eq!(second["damage"].as_array().unwrap().len(), 1, "{text}");

    // One list that cannot be read hides no other.
    std::fs::write(lists.join("00000001.json"), "{}").unwrap();
    let (status, text) = list(&[]);
    assert_eq!(status, 1, "{text}");
    assert!(
        text.starts_with("backup 1: the list of backup 1 is damaged\nbackup 2 of "),
        "{text}"
    );
    let done = tidelog(&["backups", "/nowhere/at/all"]).output().unwrap();
    assert_eq!(done.status.code(), Some(2), "{}", said(&done));
}
