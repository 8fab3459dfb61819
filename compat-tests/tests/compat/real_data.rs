//! 247,631 real chat events in a SHARED, a USER and a STREAM table, compared with PostgreSQL on the same CSV.

use std::path::Path;

use tidelog_compat_tests::sample::{EVENTS, chat_history};

use crate::pair::Pair;

const EVENT: &str = "sent_at timestamptz, channel text, nick text, kind text, body text";

/// `{t}` is the table; every order is total, so that the answers can be compared byte by byte.
const QUERIES: &[&str] = &[
    "SELECT count(*), count(DISTINCT nick), min(sent_at), max(sent_at), sum(length(body)) FROM {t}",
    "SELECT nick, count(*), max(id) FROM {t} GROUP BY nick ORDER BY nick",
    "SELECT date_trunc('month', sent_at) AS month, count(*) FROM {t} GROUP BY 1 ORDER BY 1",
    "SELECT kind, count(*), count(DISTINCT nick) FROM {t} GROUP BY kind ORDER BY kind",
    "SELECT count(*) FROM {t} WHERE body LIKE '%sudo apt-get%'",
    "SELECT id, body FROM {t} WHERE body LIKE 'http://%' AND kind = 'message' ORDER BY id LIMIT 200",
    r"SELECT id, nick, body FROM {t} WHERE body LIKE '%\\%' OR body LIKE '%,%,%,%' OR nick LIKE '|%' ORDER BY id LIMIT 2000",
    "SELECT id, length(body), octet_length(body), body FROM {t} WHERE octet_length(body) <> length(body) ORDER BY id",
    "SELECT count(*) FROM {t} WHERE body ILIKE '%UBUNTU%' AND NOT body LIKE '%Ubuntu%'",
    "SELECT count(*), min(id), max(id) FROM {t} WHERE body = ''",
    "SELECT * FROM (SELECT id, sent_at, channel, nick, kind, body FROM {t}) e ORDER BY id DESC LIMIT 20",
    "SELECT id, body FROM {t} WHERE id IN (1, 1000, 123456, 247631) ORDER BY id",
    "SELECT id FROM {t} WHERE sent_at >= '2010-03-01' AND sent_at < '2010-03-02 12:00+00' ORDER BY sent_at, id",
    "SELECT a.nick, count(*) FROM {t} a JOIN {t} b ON b.id = a.id + 1 AND b.nick = a.nick GROUP BY a.nick \
     ORDER BY 2 DESC, 1 LIMIT 50",
    "COPY (SELECT id, sent_at, channel, nick, kind, body FROM {t} ORDER BY id) TO STDOUT",
    "COPY (SELECT id, sent_at, channel, nick, kind, body FROM {t} ORDER BY id) TO STDOUT WITH (FORMAT csv, HEADER)",
];

fn same(pair: &Pair, table: &str) {
    for query in QUERIES {
        pair.same(&query.replace("{t}", table));
    }
}

/// psql's `\copy`, of a file with a header.
fn copy(table: &str, file: &Path) -> String {
    format!(
        "\\copy {table} FROM '{}' WITH (FORMAT csv, HEADER, FORCE_NOT_NULL (body))\n",
        file.display()
    )
}

#[test]
fn a_shared_table_answers_as_postgresql_half_flushed_flushed_restarted_and_killed() {
    let folder = tempfile::tempdir().unwrap();
    let Some(csv) = chat_history(folder.path()) else {
        return;
    };
    let mut pair = Pair::start();
    pair.run(&format!(
        "CREATE SCHEMA chat; CREATE TABLE chat.messages (id bigint PRIMARY KEY, {EVENT});"
    ));
    let pg = pair.pg.peer();
    pg.run(&copy("chat.messages", &csv));
    assert_eq!(
        pg.value("SELECT count(*) FROM chat.messages"),
        EVENTS.to_string()
    );
    for (name, condition) in [("first", "id <= 150000"), ("second", "id > 150000")] {
        let file = folder.path().join(name);
        pg.run(&format!(
            "\\copy (SELECT * FROM chat.messages WHERE {condition} ORDER BY id) TO '{}' WITH (FORMAT csv, HEADER)\n",
            file.display()
        ));
        pair.tide.peer().run(&copy("chat.messages", &file));
        if name == "first" {
            pair.tide.peer().run("CALL tidelog.flush('chat.messages');");
        }
    }
    same(&pair, "chat.messages");

    // Changes to rows of both tiers, so that the cold files have dead versions.
    pair.run(
        "UPDATE chat.messages SET body = body || ' (edited)', nick = 'ubotu' WHERE id % 1000 = 7;
         DELETE FROM chat.messages WHERE id % 500 = 3;",
    );
    same(&pair, "chat.messages");
    pair.tide.peer().run("CALL tidelog.flush('chat.messages');");
    same(&pair, "chat.messages");
    pair.tide.restart();
    same(&pair, "chat.messages");

    pair.run(
        "INSERT INTO chat.messages SELECT id + 1000000, sent_at, channel, nick, kind, body
             FROM chat.messages WHERE id <= 2000;
         UPDATE chat.messages SET kind = 'late' WHERE id % 100 = 1;",
    );
    pair.tide.kill();
    pair.tide.start_again();
    same(&pair, "chat.messages");
}

#[test]
fn a_user_table_has_a_partition_per_nick_and_answers_as_postgresql() {
    let folder = tempfile::tempdir().unwrap();
    let Some(csv) = chat_history(folder.path()) else {
        return;
    };
    let mut pair = Pair::start();
    let pg = pair.pg.peer();
    pg.run(&format!(
        "CREATE SCHEMA chat; CREATE TABLE chat.inbox (_user text, id bigint PRIMARY KEY, {EVENT});"
    ));
    pg.run(&copy(
        "chat.inbox (id, sent_at, channel, nick, kind, body)",
        &csv,
    ));
    let by_user = folder.path().join("by_user");
    pg.run(&format!(
        "UPDATE chat.inbox SET _user = nick;
         \\copy (SELECT * FROM chat.inbox ORDER BY id) TO '{}' WITH (FORMAT csv, HEADER)\n",
        by_user.display()
    ));
    let tide = pair.tide.peer();
    tide.run(&format!(
        "CREATE SCHEMA chat; CREATE TABLE chat.inbox (id bigint PRIMARY KEY, {EVENT}) WITH (type = 'user');"
    ));
    tide.run(&copy(
        "chat.inbox (_user, id, sent_at, channel, nick, kind, body)",
        &by_user,
    ));
    same(&pair, "chat.inbox");
    tide.run("CALL tidelog.flush('chat.inbox');");
    same(&pair, "chat.inbox");
    pair.same("SELECT _user, count(*), min(id), sum(length(body)) FROM chat.inbox GROUP BY _user ORDER BY _user");
    assert_eq!(
        pair.tide
            .peer()
            .value("SELECT count(DISTINCT _user) FROM chat.inbox"),
        "27056"
    );

    // A role sees what a condition on its name would show, whatever its name is.
    let names = "SELECT nick FROM chat.inbox GROUP BY nick ORDER BY nick LIMIT 5";
    for nick in pg.value(names).lines().chain(["|trey|"]) {
        let role = nick.replace('"', "\"\"");
        let own = format!(
            "CREATE ROLE \"{role}\" LOGIN; SET ROLE \"{role}\";
             COPY (SELECT id, sent_at, channel, nick, kind, body FROM chat.inbox ORDER BY id) TO STDOUT;"
        );
        let literal = nick.replace('\'', "''");
        let all = format!(
            "COPY (SELECT id, sent_at, channel, nick, kind, body FROM chat.inbox WHERE nick = '{literal}' ORDER BY id) TO STDOUT;"
        );
        assert_eq!(pair.tide.peer().run(&own), pg.run(&all), "{nick}");
    }

    pair.run(
        "INSERT INTO chat.inbox (_user, id, nick, body) VALUES ('late', 1000001, 'late', 'x'), ('|trey|', 1000002, 'y', '');
         DELETE FROM chat.inbox WHERE id % 1000 = 5;",
    );
    pair.tide.kill();
    pair.tide.start_again();
    // Not every query once more: each opens 27,056 files.
    pair.same("SELECT count(*), count(DISTINCT nick), min(sent_at), max(sent_at), sum(length(body)) FROM chat.inbox");
    pair.tide.restart();
    pair.same("SELECT _user, count(*), min(id), sum(length(body)) FROM chat.inbox GROUP BY _user ORDER BY _user");
}

#[test]
fn a_stream_table_holds_joins_and_leaves() {
    let folder = tempfile::tempdir().unwrap();
    let Some(csv) = chat_history(folder.path()) else {
        return;
    };
    let mut pair = Pair::start();
    let pg = pair.pg.peer();
    pg.run(&format!(
        "CREATE SCHEMA chat; CREATE TABLE chat.presence (id bigint PRIMARY KEY, {EVENT});"
    ));
    pg.run(&copy("chat.presence", &csv));
    let presence = folder.path().join("presence");
    pg.run(&format!(
        "DELETE FROM chat.presence WHERE kind NOT IN ('join', 'leave');
         \\copy (SELECT * FROM chat.presence ORDER BY id) TO '{}' WITH (FORMAT csv, HEADER)\n",
        presence.display()
    ));
    let tide = pair.tide.peer();
    tide.run(&format!(
        "CREATE SCHEMA chat;
         CREATE TABLE chat.presence (id bigint PRIMARY KEY, {EVENT}) WITH (type = 'stream', ttl = '1 day');"
    ));
    tide.run(&copy("chat.presence", &presence));
    same(&pair, "chat.presence");
    pair.tide.restart();
    same(&pair, "chat.presence");
}
