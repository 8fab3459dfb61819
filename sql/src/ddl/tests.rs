use tidelog_storage::{RoleDef, RoleId};

use super::*;

fn catalog() -> Catalog {
    let mut catalog = Catalog {
        next_table_id: 1,
        ..Catalog::default()
    };
    catalog.schemas.insert("public".to_string());
    let role = RoleDef {
        id: RoleId::BOOTSTRAP,
        name: "postgres".into(),
        login: true,
        superuser: true,
        bypass_rls: true,
        password: None,
    };
    Arc::make_mut(&mut catalog.roles).insert(role.name.clone(), Arc::new(role));
    catalog
}

fn planned(catalog: &Catalog, sql: &str, kind: Option<TableKind>) -> Result<DdlPlan, SqlError> {
    let parsed = crate::parse::parse(sql).unwrap().remove(0);
    let crate::parse::Body::Sql(statement, _) = parsed.body else {
        panic!("{sql}")
    };
    let evaluate = |expr: &Expr, ty: ColumnType| -> Result<Datum, SqlError> {
        match expr {
            Expr::Value(value) => {
                let text = value
                    .value
                    .clone()
                    .into_string()
                    .unwrap_or_else(|| value.value.to_string());
                if text == "NULL" {
                    Ok(Datum::Null)
                } else {
                    crate::text::parse(ty, &text)
                }
            }
            _ => Ok(Datum::TimestampTz(0)),
        }
    };
    plan(
        catalog,
        &["public".to_string()],
        Ddl::Sql(&statement, kind),
        &evaluate,
        &|_, _| Ok(Vec::new()),
    )
    .map(|plan| plan.unwrap())
}

fn apply(catalog: &mut Catalog, sql: &str) {
    let plan = planned(catalog, sql, None).unwrap_or_else(|e| panic!("{sql}: {e}"));
    *catalog = catalog.changed(&plan.changes);
}

#[test]
fn creates_a_table() {
    let mut catalog = catalog();
    apply(
        &mut catalog,
        "CREATE TABLE T (\"Id\" bigint CONSTRAINT k PRIMARY KEY, body text NOT NULL DEFAULT 'x', n numeric(5,2))
         WITH (type = 'stream', ttl = '1 hour 30 minutes', flush_rows = 7)",
    );
    let table = catalog.table("public", "t").unwrap();
    assert_eq!(table.kind, TableKind::Stream);
    assert_eq!(table.options.ttl_ms, Some(5_400_000));
    assert_eq!(
        (table.options.flush_rows, table.options.flush_interval_ms),
        (7, 3_600_000)
    );
    assert_eq!(table.primary_key_name, "k");
    assert_eq!(table.key_indexes(), [0]);
    assert!(table.columns[0].not_null && table.columns[0].name == "Id");
    assert_eq!(table.columns[1].default.as_deref(), Some("'x'"));
    assert_eq!(table.layouts[&1].len(), 3);
}

#[test]
fn alters_a_table() {
    let mut catalog = catalog();
    apply(
        &mut catalog,
        "CREATE TABLE t (id int PRIMARY KEY, a int, b int)",
    );
    apply(&mut catalog, "ALTER TABLE t ADD COLUMN c int DEFAULT 5");
    apply(&mut catalog, "ALTER TABLE t DROP COLUMN a");
    apply(&mut catalog, "ALTER TABLE t ADD COLUMN a text");
    apply(&mut catalog, "ALTER TABLE t RENAME COLUMN b TO d");
    apply(&mut catalog, "ALTER TABLE t RENAME TO u");
    apply(&mut catalog, "TRUNCATE u");
    let table = catalog.table("public", "u").unwrap();
    let columns: Vec<(&str, &str)> = table
        .columns
        .iter()
        .map(|c| (c.name.as_str(), c.stored_name.as_str()))
        .collect();
    assert_eq!(
        columns,
        [("id", "id"), ("d", "b"), ("c", "c"), ("a", "a#5")]
    );
    assert_eq!(table.columns[2].missing, Datum::Int4(5));
    assert_eq!(
        (table.schema_version, table.layouts.len(), table.id),
        (4, 4, tidelog_storage::TableId::new(2))
    );
    assert!(catalog.table("public", "t").is_none());
}

#[test]
fn sets_options() {
    let mut catalog = catalog();
    let day = 24 * 3_600_000;
    apply(&mut catalog, "CREATE TABLE plain (id int)");
    let plain = catalog.table("public", "plain").unwrap();
    assert_eq!(plain.options.resume_window_ms, day);
    apply(
        &mut catalog,
        "CREATE TABLE t (id int) WITH (resume_window = '90m')",
    );
    apply(
        &mut catalog,
        "ALTER TABLE t SET (resume_window = '2d', flush_rows = 9)",
    );
    let table = catalog.table("public", "t").unwrap();
    assert_eq!(table.options.resume_window_ms, 2 * day);
    assert_eq!(
        (table.options.flush_rows, table.options.flush_interval_ms),
        (9, 3_600_000)
    );
    apply(
        &mut catalog,
        "ALTER TABLE t SET (history_window = 0, flush_bytes = '1.5MB', resume_bytes = 1000)",
    );
    let table = catalog.table("public", "t").unwrap();
    assert_eq!(
        super::table::options::shown(table),
        [
            "flush_rows=9",
            "flush_bytes=1572864",
            "resume_window=2d",
            "resume_bytes=1000",
            "history_window=0ms"
        ]
    );
    apply(
        &mut catalog,
        "ALTER TABLE t RESET (flush_rows, flush_bytes, resume_window, resume_bytes, history_window)",
    );
    let table = catalog.table("public", "t").unwrap();
    assert_eq!(table.options, Default::default());
    // Options are no columns: rows stay as they are.
    assert_eq!(table.schema_version, 1);
    apply(
        &mut catalog,
        "CREATE TABLE c (id int, \"Room\" text, x int) WITH (cluster_by = '\"Room\", x, ID')",
    );
    apply(&mut catalog, "ALTER TABLE c RENAME COLUMN id TO n");
    apply(&mut catalog, "ALTER TABLE c DROP COLUMN x");
    let table = catalog.table("public", "c").unwrap();
    assert_eq!(
        super::table::options::shown(table),
        ["cluster_by=\"Room\", n"]
    );
}

#[test]
fn roles() {
    let mut catalog = catalog();
    apply(
        &mut catalog,
        "CREATE ROLE bob WITH LOGIN PASSWORD 'secret' BYPASSRLS",
    );
    let bob = catalog.roles["bob"].clone();
    assert!(bob.login && bob.bypass_rls && !bob.superuser);
    assert!(crate::scram::parse_verifier(bob.password.as_deref().unwrap()).is_some());
    apply(&mut catalog, "ALTER ROLE bob NOLOGIN PASSWORD NULL");
    assert!(!catalog.roles["bob"].login && catalog.roles["bob"].password.is_none());
    apply(&mut catalog, "CREATE ROLE eve LOGIN");
    assert!(catalog.roles["eve"].login);
    apply(&mut catalog, "DROP ROLE bob, eve");
    assert_eq!(catalog.roles.len(), 1);
}

#[test]
fn errors_and_notices() {
    let mut catalog = catalog();
    apply(&mut catalog, "CREATE TABLE t (id int PRIMARY KEY, a int)");
    apply(&mut catalog, "CREATE SCHEMA s");
    apply(&mut catalog, "CREATE TABLE s.x (id int)");
    for (sql, expected) in [
        (
            "CREATE TABLE t (id int)",
            "DuplicateTable: relation \"t\" already exists",
        ),
        (
            "CREATE TABLE IF NOT EXISTS t (id int)",
            "NOTICE relation \"t\" already exists, skipping",
        ),
        (
            "CREATE TABLE q.t (id int)",
            "InvalidSchemaName: schema \"q\" does not exist",
        ),
        (
            "CREATE TABLE a.b.c (id int)",
            "FeatureNotSupported: cross-database references are not implemented: \"a.b.c\"",
        ),
        (
            "CREATE TABLE u (a int, A int)",
            "DuplicateColumn: column \"a\" specified more than once",
        ),
        (
            "CREATE TABLE u (_seq int)",
            "DuplicateColumn: column name \"_seq\" conflicts with a system column name",
        ),
        (
            "CREATE TABLE u (a int PRIMARY KEY, PRIMARY KEY (a))",
            "InvalidTableDefinition: multiple primary keys for table \"u\" are not allowed",
        ),
        (
            "CREATE TABLE u (a int, PRIMARY KEY (b))",
            "UndefinedColumn: column \"b\" named in key does not exist",
        ),
        (
            "ALTER TABLE t SET (resume_window = 'long')",
            "InvalidParameterValue: invalid value for parameter \"resume_window\": \"long\"",
        ),
        (
            "ALTER TABLE t SET (flush_bytes = '12 parsecs')",
            "InvalidParameterValue: invalid value for parameter \"flush_bytes\": \"12 parsecs\"",
        ),
        (
            "ALTER TABLE t SET (cluster_by = 'id, b')",
            "UndefinedColumn: column \"b\" named in \"cluster_by\" does not exist",
        ),
        (
            "ALTER TABLE t SET (cluster_by = 'a || id')",
            "InvalidParameterValue: invalid value for parameter \"cluster_by\": \"a || id\"",
        ),
        (
            "ALTER TABLE t RESET (filled)",
            "InvalidParameterValue: unrecognized parameter \"filled\"",
        ),
        (
            "ALTER TABLE t SET (ttl = '1s')",
            "InvalidParameterValue: parameter \"ttl\" is for stream tables only",
        ),
        (
            "ALTER TABLE t SET (type = 'user')",
            "FeatureNotSupported: changing the type of a table is not supported",
        ),
        (
            "CREATE TABLE u (a int, CHECK (b > 0))",
            "UndefinedColumn: column \"b\" does not exist",
        ),
        (
            "CREATE TABLE u (a int REFERENCES missing)",
            "UndefinedTable: relation \"missing\" does not exist",
        ),
        (
            "CREATE TABLE u (a money)",
            "FeatureNotSupported: type \"money\" is not supported",
        ),
        (
            "CREATE TEMP TABLE u (a int)",
            "FeatureNotSupported: CREATE TEMPORARY TABLE is not supported",
        ),
        (
            "CREATE TABLE u (a int) WITH (x = 1)",
            "InvalidParameterValue: unrecognized parameter \"x\"",
        ),
        (
            "CREATE TABLE u (a int PRIMARY KEY DEFERRABLE) WITH (type = 'stream', ttl = '1h')",
            "FeatureNotSupported: a deferrable constraint of a STREAM table is not supported",
        ),
        (
            "CREATE TABLE u (a int) WITH (type = 'stream')",
            "InvalidParameterValue: a stream table needs parameter \"ttl\"",
        ),
        (
            "CREATE TABLE u (a int) WITH (ttl = '1s')",
            "InvalidParameterValue: parameter \"ttl\" is for stream tables only",
        ),
        (
            "CREATE TABLE u (a int) WITH (type = 'stream', ttl = '5x')",
            "InvalidParameterValue: invalid value for parameter \"ttl\": \"5x\"",
        ),
        (
            "CREATE TABLE u (a int DEFAULT 'x')",
            "InvalidTextRepresentation: invalid input syntax for type integer: \"x\"",
        ),
        ("DROP TABLE u", "UndefinedTable: table \"u\" does not exist"),
        (
            "DROP TABLE IF EXISTS u",
            "NOTICE table \"u\" does not exist, skipping",
        ),
        (
            "ALTER TABLE u ADD a int",
            "UndefinedTable: relation \"u\" does not exist",
        ),
        (
            "ALTER TABLE t ADD a int",
            "DuplicateColumn: column \"a\" of relation \"t\" already exists",
        ),
        (
            "ALTER TABLE t DROP b",
            "UndefinedColumn: column \"b\" of relation \"t\" does not exist",
        ),
        (
            "ALTER TABLE t DROP id",
            "FeatureNotSupported: DROP COLUMN of a primary key's column is not supported",
        ),
        (
            "TRUNCATE u",
            "UndefinedTable: relation \"u\" does not exist",
        ),
        (
            "CREATE SCHEMA s",
            "DuplicateSchema: schema \"s\" already exists",
        ),
        (
            "DROP SCHEMA q",
            "InvalidSchemaName: schema \"q\" does not exist",
        ),
        (
            "DROP SCHEMA s",
            "DependentObjectsStillExist: cannot drop schema s because other objects depend on it",
        ),
        ("DROP SCHEMA s CASCADE", "NOTICE drop cascades to table s.x"),
        (
            "CREATE ROLE postgres",
            "DuplicateObject: role \"postgres\" already exists",
        ),
        (
            "CREATE ROLE r CREATEDB",
            "FeatureNotSupported: role option CREATEDB is not supported",
        ),
        (
            "ALTER ROLE r LOGIN",
            "UndefinedObject: role \"r\" does not exist",
        ),
        ("DROP ROLE r", "UndefinedObject: role \"r\" does not exist"),
        (
            "DROP ROLE IF EXISTS r",
            "NOTICE role \"r\" does not exist, skipping",
        ),
        (
            "DROP ROLE postgres",
            "DependentObjectsStillExist: cannot drop role postgres because it is required by the database system",
        ),
    ] {
        let actual = match planned(&catalog, sql, None) {
            Ok(plan) => plan
                .notices
                .iter()
                .map(|notice| format!("NOTICE {}", notice.message))
                .collect(),
            Err(error) => format!("{:?}: {}", error.kind, error.message),
        };
        assert_eq!(actual, expected, "{sql}");
    }
}

#[test]
fn folds_names() {
    assert_eq!(fold(&Ident::new("AbC")), "abc");
    assert_eq!(fold(&Ident::with_quote('"', "AbC")), "AbC");
    assert_eq!(fold(&Ident::new("é".repeat(40))).len(), 62);
}
