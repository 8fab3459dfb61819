"""psqlODBC, by isql and by pyodbc: queries, types as parameters and results, the catalog functions, transactions."""

import datetime
import decimal
import os
import re
import subprocess
import threading
import uuid

import pyodbc

from checks import checks

WHERE = {name: os.environ[f"PG{name.upper()}"] for name in ("host", "port", "user", "password", "database")}
DRIVER = "PostgreSQL Unicode"


def source(**options):
    parts = {
        "Driver": DRIVER,
        "Server": WHERE["host"],
        "Port": WHERE["port"],
        "Uid": WHERE["user"],
        "Pwd": f"{{{WHERE['password']}}}",
        "Database": WHERE["database"],
    }
    return ";".join(f"{key}={value}" for key, value in (parts | options).items())


pyodbc.pooling = False
connection = pyodbc.connect(source())
cursor = connection.cursor()
check = checks(connection.rollback)


def rows(query, *parameters):
    return [tuple(row) for row in cursor.execute(query, *parameters).fetchall()]


def state(statement, *parameters):
    """The SQLSTATE that a statement fails with, and what PostgreSQL said."""
    try:
        cursor.execute(statement, *parameters)
        return "done"
    except pyodbc.Error as error:
        connection.rollback()
        return error.args[0], error.args[1].split("\n")[0].removesuffix(";")


def columns(found, *names):
    """These columns of a catalog function's rows."""
    return [tuple(getattr(row, name) for name in names) for row in found]


def isql(*lines):
    """What isql says to these lines, without the frames around it."""
    command = ["isql", "-k", source(), "-b", "-d|", "-x0x2C", "-v"]
    done = subprocess.run(command, input="\n".join(lines) + "\n", capture_output=True, text=True, timeout=60)
    return done.stdout.split("\n"), done.stderr.split("\n")


cursor.execute(
    """CREATE TABLE customer (id serial PRIMARY KEY, name varchar(40) NOT NULL, email text UNIQUE,
    balance numeric(12, 2) DEFAULT 0, "Odd Name" boolean, born date, made timestamptz DEFAULT now())"""
)
cursor.execute(
    """CREATE TABLE item (customer int REFERENCES customer (id) ON DELETE CASCADE ON UPDATE SET NULL, number smallint,
    what text, price float8, PRIMARY KEY (customer, number))"""
)
cursor.execute("CREATE INDEX item_what ON item (what, price DESC)")
cursor.execute("CREATE VIEW rich AS SELECT id, name FROM customer WHERE balance > 1000")
cursor.execute("INSERT INTO customer (name, email, balance) VALUES ('Ann', 'a@x', 10.5), ('Bob', NULL, 2000)")
cursor.execute("INSERT INTO item VALUES (1, 1, 'tea', 2.5), (1, 2, NULL, NULL), (2, 1, 'né 🌊', -0.125)")
connection.commit()


@check
def isql_queries():
    return isql("SELECT * FROM item ORDER BY 1, 2", "SELECT count(*) FROM customer", "SELECT 1/0", "SELEC", "SELECT now() IS NULL")


@check
def isql_changes():
    return isql(
        "CREATE TABLE by_isql (a int, b text)",
        "INSERT INTO by_isql VALUES (1, 'one'), (2, NULL)",
        "UPDATE by_isql SET b = 'two' WHERE a = 2",
        "SELECT * FROM by_isql",
        "DELETE FROM by_isql",
        "DROP TABLE by_isql",
    )


@check
def isql_helps():
    """`help` is SQLTables, `help TABLE` SQLColumns."""
    # The tables' OIDs are the server's own.
    return re.sub(r"\d{5,}(,0,-?\d+,0')", r"oid\1", str(isql("help", "help customer", "help item", "help no_such")))


TYPES = [
    ("smallint", [-32768, 32767]),
    ("int", [-(2**31), 2**31 - 1]),
    ("bigint", [-(2**63), 2**63 - 1]),
    ("real", [1.5, -0.25]),
    ("float8", [5e-324, 1.7976931348623157e308]),
    ("numeric", [decimal.Decimal("12345678901234567890.0123456789"), decimal.Decimal("-0.5")]),
    ("numeric(10, 3)", [decimal.Decimal("1234567.125"), decimal.Decimal("0.000")]),
    ("boolean", [True, False]),
    ("text", ["", "né 🌊 '\\\n"]),
    ("text", ["long " * 3000, "x"]),
    ("varchar(10)", ["né", ""]),
    ("char(5)", ["abc", "né"]),
    ("bytea", [b"", b"\x00\xff\\'"]),
    ("bytea", [bytes(range(256)) * 50, b"x"]),
    ("date", [datetime.date(2024, 2, 29), datetime.date(1, 1, 1)]),
    ("time", [datetime.time(23, 59, 59), datetime.time(0)]),
    ("timestamp", [datetime.datetime(2024, 2, 29, 1, 2, 3, 456789), datetime.datetime(1969, 12, 31, 23, 59, 59)]),
    ("timestamptz", [datetime.datetime(2024, 2, 29, 1, 2, 3, 456789), datetime.datetime(9999, 12, 31)]),
    ("uuid", [uuid.UUID(int=7), uuid.UUID("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")]),
]
for options in ({}, {"UseServerSidePrepare": "0"}, {"UseDeclareFetch": "1", "Fetch": "2"}, {"BoolsAsChar": "0", "ByteaAsLongVarBinary": "1"}):

    def types_there_and_back():
        said = []
        with pyodbc.connect(source(**options)) as own:
            for kind, values in TYPES:
                own.execute(f"CREATE TABLE kept (id int PRIMARY KEY, v {kind})")
                own.cursor().executemany("INSERT INTO kept VALUES (?, ?)", list(enumerate(values)) + [(9, None)])
                found = own.execute("SELECT id, v FROM kept ORDER BY id")
                described = [(name, type_.__name__, *rest) for name, type_, *rest in found.description]
                back = [row.v for row in found.fetchall()]
                compared = [bool(own.execute("SELECT 1 FROM kept WHERE v = ?", value).fetchone()) for value in values]
                said.append((kind, described, [str(value)[:60] for value in back], compared))
                own.rollback()
        return said

    types_there_and_back.__name__ = "types_with_" + "_".join(options or ["defaults"])
    check(types_there_and_back)


@check
def types_without_parameters():
    """What has no type in ODBC comes as text."""
    found = cursor.execute(
        """SELECT '1 year 2 days'::interval AS a, '{1,NULL}'::int[] AS b, '{"x": 1}'::jsonb AS c, '10.0.0.1/8'::inet AS d,
        '01:02:03+02'::timetz AS e, 1::oid AS f, 'n'::name AS g, '[1,5)'::int4range AS h, 'NaN'::float8 AS i,
        'infinity'::timestamp::text AS j, NULL AS k, current_date - current_date AS l, 'q'::"char" AS m"""
    )
    described = [(name, kind.__name__, *rest) for name, kind, *rest in found.description]
    return described, str(tuple(found.fetchone()))


@check
def many_rows_are_written_fast():
    cursor.execute("CREATE TABLE many (a int, b text, c numeric(10, 2))")
    cursor.fast_executemany = True
    try:
        cursor.executemany("INSERT INTO many VALUES (?, ?, ?)", [(n, f"n{n}", n / 4) for n in range(500)])
    finally:
        cursor.fast_executemany = False
    connection.commit()
    return rows("SELECT count(*), sum(a), max(b), sum(c) FROM many")


@check
def statements_are_described_before_they_run():
    """SQLNumParams, SQLDescribeParam, SQLRowCount and what RETURNING gives."""
    said = [rows("INSERT INTO customer (name) VALUES (?) RETURNING id, name, balance", "Cy")]
    said.append(cursor.execute("UPDATE customer SET balance = balance + ? WHERE id > ?", 1, 1).rowcount)
    said.append(cursor.execute("DELETE FROM customer WHERE name = ?", "Cy").rowcount)
    said.append(rows("SELECT ? + 1, ?::text, coalesce(?, 'none')", 41, "é", None))
    said.append(rows("SELECT {fn ucase('abc')}, {fn length('four')}, {d '2024-01-02'}, {ts '2024-01-02 03:04:05'}"))
    said.append(rows("SELECT name FROM {oj customer LEFT OUTER JOIN item ON item.customer = customer.id} WHERE what IS NULL ORDER BY 1"))
    connection.commit()
    return said


@check
def results_follow_each_other():
    cursor.execute("SELECT 1; SELECT 2, 3; UPDATE item SET what = what; SELECT 'end'")
    said = []
    while True:
        said.append([tuple(row) for row in cursor.fetchall()] if cursor.description else cursor.rowcount)
        if not cursor.nextset():
            return said


@check
def tables_are_listed():
    names = ("table_cat", "table_schem", "table_name", "table_type", "remarks")
    said = [columns(cursor.tables(schema="public").fetchall(), *names)]
    said.append(columns(cursor.tables(table="ITEM%").fetchall(), *names))
    said.append(columns(cursor.tables(tableType="VIEW", schema="public").fetchall(), *names))
    said.append(columns(cursor.tables(tableType="TABLE", table="cust_mer").fetchall(), *names))
    # All catalogs, all schemas, all kinds of tables.
    said.append(columns(cursor.tables(catalog="%", schema="", table="").fetchall(), *names))
    said.append([row for row in columns(cursor.tables(catalog="", schema="%", table="").fetchall(), *names) if "pg_t" not in row[1]])
    return said


@check
def columns_are_listed():
    found = cursor.columns(table="customer").fetchall()
    found += cursor.columns(table="item", schema="public", column="wh%").fetchall()
    found += cursor.columns(table="rich").fetchall()
    # Without the tables' OIDs, which are the server's own.
    return [tuple(row[:22] + row[23:]) for row in found]


@check
def keys_are_listed():
    said = [[tuple(row) for row in cursor.primaryKeys("customer").fetchall()]]
    said.append([tuple(row) for row in cursor.primaryKeys("item", schema="public").fetchall()])
    said.append([tuple(row) for row in cursor.foreignKeys(table="customer").fetchall()])
    said.append([tuple(row) for row in cursor.foreignKeys(foreignTable="item").fetchall()])
    said.append([tuple(row) for row in cursor.foreignKeys(table="customer", foreignTable="item").fetchall()])
    return said


@check
def indexes_are_listed():
    """SQLStatistics, without the counts of rows and pages, and SQLSpecialColumns."""
    said = []
    for table, unique in (("customer", False), ("customer", True), ("item", False)):
        found = [tuple(row) for row in cursor.statistics(table, unique=unique).fetchall()]
        said.append([row[:10] + row[12:] for row in found])
    said.append([tuple(row) for row in cursor.rowIdColumns("customer").fetchall()])
    said.append([tuple(row) for row in cursor.rowIdColumns("item").fetchall()])
    said.append([tuple(row) for row in cursor.rowVerColumns("customer").fetchall()])
    return said


@check
def types_are_listed():
    """SQLGetTypeInfo and SQLProcedures."""
    said = [[tuple(row) for row in cursor.getTypeInfo().fetchall()]]
    said.append(columns(cursor.procedures(procedure="pg_get_viewdef").fetchall(), "procedure_schem", "procedure_name"))
    return said


@check
def server_is_described():
    infos = ["DBMS_NAME", "DATABASE_NAME", "USER_NAME", "IDENTIFIER_QUOTE_CHAR", "TXN_CAPABLE", "MAX_IDENTIFIER_LEN", "SCHEMA_TERM"]
    found = [connection.getinfo(getattr(pyodbc, f"SQL_{name}")) for name in infos if hasattr(pyodbc, f"SQL_{name}")]
    return str(found)


@check
def errors_have_their_states():
    return [
        state("SELECT * FROM no_such"),
        state("SELECT no_such FROM item"),
        state("SELECT no_such(1)"),
        state("SELEC 1"),
        state("SELECT 1/0"),
        state("SELECT ?::int", "abc"),
        state("INSERT INTO customer (id, name) VALUES (1, 'again')"),
        state("INSERT INTO customer (name) VALUES (NULL)"),
        state("INSERT INTO item VALUES (99, 1)"),
        state("INSERT INTO customer (name) VALUES (?)", "x" * 41),
        state("CREATE TABLE item (a int)"),
    ]


@check
def transactions_end_as_told():
    said = []
    with pyodbc.connect(source()) as other:
        cursor.execute("UPDATE customer SET balance = 1 WHERE id = 1")
        said.append(other.execute("SELECT balance FROM customer WHERE id = 1").fetchone()[0])
        connection.commit()
        other.rollback()
        said.append(other.execute("SELECT balance FROM customer WHERE id = 1").fetchone()[0])
        cursor.execute("UPDATE customer SET balance = 2 WHERE id = 1")
        connection.rollback()
        said.append(rows("SELECT balance FROM customer WHERE id = 1"))
        connection.rollback()
        connection.autocommit = True
        cursor.execute("UPDATE customer SET balance = 3 WHERE id = 1")
        other.rollback()
        said.append(other.execute("SELECT balance FROM customer WHERE id = 1").fetchone()[0])
        connection.autocommit = False
    return said


# psqlODBC's Protocol: whether an error takes back nothing (0), the transaction (1) or the statement (2).
for level in "012":

    def errors_take_back():
        said = []
        with pyodbc.connect(source(Protocol=f"7.4-{level}")) as own:
            own.execute("CREATE TABLE taken_back (a int PRIMARY KEY)")
            own.commit()
            own.execute("INSERT INTO taken_back VALUES (1)")
            for statement in ("INSERT INTO taken_back VALUES (1)", "INSERT INTO taken_back VALUES (2)"):
                try:
                    own.execute(statement)
                    said.append("done")
                except pyodbc.Error as error:
                    said.append(error.args[0])
            own.commit()
            said.append([tuple(row) for row in own.execute("SELECT * FROM taken_back").fetchall()])
            own.execute("DROP TABLE taken_back")
        return said

    errors_take_back.__name__ = f"errors_take_back_by_protocol_{level}"
    check(errors_take_back)


@check
def isolation_is_set():
    said = []
    for level in (pyodbc.SQL_TXN_READ_COMMITTED, pyodbc.SQL_TXN_REPEATABLE_READ, pyodbc.SQL_TXN_SERIALIZABLE):
        with pyodbc.connect(source()) as own:
            own.set_attr(pyodbc.SQL_ATTR_TXN_ISOLATION, level)
            said.append(own.execute("SHOW transaction_isolation").fetchone()[0])
    return said


@check
def a_statement_is_cancelled():
    with pyodbc.connect(source(), autocommit=True) as own, pyodbc.connect(source(), autocommit=True) as other:
        sleeper = own.cursor()

        def cancel():
            running = "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)' AND state = 'active'"
            while not other.execute(running).fetchone()[0]:
                pass
            sleeper.cancel()

        canceller = threading.Thread(target=cancel)
        canceller.start()
        try:
            sleeper.execute("SELECT pg_sleep(60)")
            return "slept"
        except pyodbc.Error as error:
            return error.args[0], own.execute("SELECT 1").fetchone()[0]
        finally:
            canceller.join()


connection.close()
