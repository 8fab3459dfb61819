//! COPY's options and conditions, beside PostgreSQL.

use std::process::Command;

use tidelog_compat_tests::Server;
use tokio_postgres::Client;

use crate::pair::Pair;

/// What COPY FROM with these data says: how many rows, or code, message and detail, and the context of a malformed line.
async fn copied(client: &Client, statement: &str, data: &str) -> String {
    use futures::SinkExt;
    let said = async {
        let sink = client.copy_in(statement).await?;
        let mut sink = Box::pin(sink);
        sink.send(bytes::Bytes::copy_from_slice(data.as_bytes()))
            .await?;
        sink.as_mut().finish().await
    };
    match said.await {
        Ok(rows) => format!("COPY {rows}"),
        Err(error) => match error.as_db_error() {
            Some(said) => format!(
                "{} {} {:?} {:?}",
                said.code().code(),
                said.message(),
                said.detail(),
                said.where_().filter(|_| said.code().code() == "22P04")
            ),
            None => panic!("{statement}: {error:?}"),
        },
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn copy_from_takes_conditions_and_matches_headers() {
    let pair = Pair::start();
    pair.run(
        "CREATE TABLE t (id int PRIMARY KEY, \"Größe\" text CHECK (\"Größe\" <> 'verboten'), g int GENERATED ALWAYS AS (id * 2) STORED);
         CREATE TABLE plain (id int NOT NULL, at date DEFAULT '2020-01-01', n serial);",
    );
    let t = "COPY t (id, \"Größe\") FROM STDIN";
    for (statement, data) in [
        (
            format!("{t} WITH (FORMAT csv, HEADER MATCH)"),
            "id,Größe\n1,a\n",
        ),
        (
            format!("{t} WITH (FORMAT csv, HEADER MATCH)"),
            "id,groesse\n2,a\n",
        ),
        (format!("{t} WITH (FORMAT csv, HEADER match)"), "id\n2,a\n"),
        (
            format!("{t} WITH (HEADER 'Match', FORMAT csv)"),
            "id,Größe,x\n2,a\n",
        ),
        (format!("{t} WITH (FORMAT csv, HEADER MATCH)"), "id,\n2,a\n"),
        (
            format!("{t} WITH (FORMAT csv, HEADER MATCH)"),
            "\"id\",\"Größe\"\n2,\"ä\"\"\"\n",
        ),
        (format!("{t} WITH (HEADER MATCH)"), "id\tGröße\n3\ta\n"),
        (format!("{t} WITH (HEADER MATCH)"), "id\t\\N\n3\ta\n"),
        (format!("{t} WITH (HEADER MATCH)"), ""),
        (
            format!("{t} WHERE id > 10 AND \"Größe\" <> 'nö'"),
            "5\tx\n11\tja\n12\tnö\n13\t\\N\n14\tü\n",
        ),
        // What is left out may break what rows must obey.
        (
            format!("{t} (FORMAT csv) WHERE id IS NOT NULL"),
            ",x\n15,y\n",
        ),
        (
            format!("{t} WHERE \"Größe\" <> 'verboten' AND t.id <> 11"),
            "20\tverboten\n11\tda\n21\ty\n",
        ),
        (format!("{t} WHERE id > 20"), "22\tz\n23\tverboten\n"),
        (format!("{t} WHERE 100 / id > 1"), "24\tz\n0\tz\n"),
        (
            format!("{t} CSV HEADER WHERE id % 2 = 0"),
            "id,x\n50,a\n51,b\n52,c\n",
        ),
        (format!("{t} WHERE NULL"), "60\tx\n"),
        (format!("{t} WHERE 'yes'"), "61\tx\n"),
        (format!("{t} WHERE 'wirr'"), "62\tx\n"),
        (format!("{t} WHERE id"), "62\tx\n"),
        (format!("{t} WHERE id > (SELECT 1)"), "62\tx\n"),
        (format!("{t} WHERE sum(id) > 1"), "62\tx\n"),
        (format!("{t} WHERE row_number() OVER () > 1"), "62\tx\n"),
        (format!("{t} WHERE generate_series(1, 2) > 1"), "62\tx\n"),
        (format!("{t} WHERE g > 1"), "62\tx\n"),
        (format!("{t} WHERE nix > 1"), "62\tx\n"),
        (
            format!("{t} (FORMAT csv, FORCE_NULL (\"Größe\"))"),
            "70,\"\"\n71,\n",
        ),
        (
            format!("{t} (FORMAT csv, FORCE_NOT_NULL (\"Größe\"))"),
            "72,\"\"\n73,\n",
        ),
        (
            "COPY plain (id) FROM STDIN WHERE at = '2020-01-01' AND n > 1".to_string(),
            "1\n2\n3\n",
        ),
        (
            "COPY plain (id) FROM STDIN (ENCODING 'utf-8') WHERE true".to_string(),
            "4\n",
        ),
        (
            "COPY plain (id) FROM STDIN ENCODING 'UTF8'".to_string(),
            "5\n",
        ),
    ] {
        // The driver ends a connection where COPY was refused.
        let (tide, pg) = pair.connect().await;
        let (found, expected) = (
            copied(&tide, &statement, data).await,
            copied(&pg, &statement, data).await,
        );
        assert_eq!(found, expected, "{statement}\n{data}");
    }
    pair.same("SELECT * FROM t ORDER BY id");
    pair.same("SELECT * FROM plain ORDER BY id");
    for statement in [
        "COPY t (id, \"Größe\") TO STDOUT WITH (HEADER MATCH)",
        "COPY t (id, \"Größe\") TO STDOUT WITH (HEADER 'x')",
        "COPY t (id, \"Größe\") TO STDOUT WITH (HEADER 2)",
        "COPY t (id, \"Größe\") TO STDOUT WITH (HEADER 1)",
        "COPY t (id, \"Größe\") TO STDOUT WITH (HEADER OFF)",
        "COPY t (id, \"Größe\") TO STDOUT WITH (HEADER, FORMAT binary)",
        "COPY t TO STDOUT WHERE id > 1",
        "COPY (SELECT 1) TO STDOUT WHERE 1 > 1",
        "COPY t (id) TO STDOUT (ENCODING 'SQL_ASCII')",
        "COPY t (id) TO STDOUT (DEFAULT 'x')",
        "COPY t (id) TO STDOUT (foo)",
        "COPY t (id) TO STDOUT (FORMAT csv, \"Foo\" 1)",
        "COPY t (id, \"Größe\") TO STDOUT (FORMAT csv, FORCE_QUOTE (\"Größe\"))",
        "COPY t (id, \"Größe\") TO STDOUT (FORMAT csv, FORCE_NULL (\"Größe\"))",
    ] {
        pair.same_or_fail(statement);
    }
}

/// What the client sends behind the row that is refused does not keep the error from it.
#[test]
fn a_copy_that_fails_is_told_of_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start();
    let peer = server.peer();
    peer.run("CREATE TABLE c (id int, note text);");
    let note = "x".repeat(900);
    for rows in [2, 6, 30, 100, 5000] {
        let file = folder.path().join("rows.tsv");
        let good: String = (1..rows).map(|id| format!("{id}\t{note}\n")).collect();
        std::fs::write(&file, format!("{good}bad\t{note}\n")).unwrap();
        for _ in 0..3 {
            // As long as it may take; before, it took for ever.
            let mut copy = Command::new("timeout");
            copy.args(["20", "psql", "-X", "-c"]);
            copy.arg(format!("\\copy c FROM '{}'", file.display()));
            peer.environment(&mut copy);
            let refused = copy.output().unwrap();
            let refused = String::from_utf8_lossy(&refused.stderr);
            let message = "invalid input syntax for type integer: \"bad\"";
            assert!(refused.contains(message), "{rows} rows: {refused}");
        }
    }
    assert_eq!(peer.value("SELECT count(*) FROM c"), "0");
}
