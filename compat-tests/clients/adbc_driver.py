"""ADBC, which moves Arrow's tables by COPY in binary format: what goes in comes out, of every type that it has."""

import datetime
import decimal
import re

import adbc_driver_manager
import adbc_driver_postgresql.dbapi as adbc
import pyarrow as pa

from checks import checks

# libpq's environment says where and as whom.
connection = adbc.connect("postgresql://")
cursor = connection.cursor()
check = checks(connection.rollback)


def rows(query, parameters=None):
    cursor.execute(query, parameters)
    return cursor.fetchall()


def types(schema):
    return [f"{field.name} {field.type}" for field in schema]


DAY = datetime.date(2024, 2, 29)
AT = datetime.datetime(1969, 12, 31, 23, 59, 59, 999999)
UTC = datetime.timezone.utc
SPAN = pa.MonthDayNano([14, -3, 5_000_001_000])
# A name, the type, and its values: the least, the greatest and the odd.
COLUMNS = [
    ("bools", pa.bool_(), [True, False]),
    ("bytes1", pa.int8(), [-128, 127]),
    ("unsigned1", pa.uint8(), [0, 255]),
    ("shorts", pa.int16(), [-32768, 32767]),
    ("unsigned2", pa.uint16(), [0, 65535]),
    ("ints", pa.int32(), [-(2**31), 2**31 - 1]),
    ("unsigned4", pa.uint32(), [0, 2**32 - 1]),
    ("longs", pa.int64(), [-(2**63), 2**63 - 1]),
    ("halves", pa.float16(), [1.5, float("-inf")]),
    ("floats", pa.float32(), [3.4028234663852886e38, float("inf")]),
    ("doubles", pa.float64(), [5e-324, -0.0]),
    ("numbers", pa.decimal128(38, 10), [decimal.Decimal("-1234567890123456789012345678.0123456789"), decimal.Decimal(0)]),
    ("wholes", pa.decimal128(10, 0), [decimal.Decimal("9999999999"), decimal.Decimal("10000")]),
    ("small", pa.decimal128(12, 12), [decimal.Decimal("0.000000000001"), decimal.Decimal("0.5")]),
    ("large", pa.decimal256(60, 5), [decimal.Decimal("1" * 55 + ".00001"), decimal.Decimal("-0.1")]),
    ("texts", pa.string(), ["", "né 🌊 \\N\t\n"]),
    ("large_texts", pa.large_string(), ["x" * 70_000, "'\""]),
    ("text_views", pa.string_view(), ["short", "longer than what a view holds by itself"]),
    ("words", pa.dictionary(pa.int32(), pa.string()), ["again", "again"]),
    ("binaries", pa.binary(), [b"", b"\x00\xff\\"]),
    ("large_binaries", pa.large_binary(), [b"\x00" * 70_000, b"x"]),
    ("fixed", pa.binary(3), [b"abc", b"\x00\x01\x02"]),
    ("days", pa.date32(), [DAY, datetime.date(1, 1, 1)]),
    ("clocks", pa.time64("us"), [datetime.time(23, 59, 59, 999999), datetime.time(0)]),
    ("clocks_ms", pa.time32("ms"), [datetime.time(23, 59, 59, 999000), datetime.time(0)]),
    ("moments", pa.timestamp("us"), [AT, datetime.datetime(9999, 12, 31, 23, 59, 59)]),
    ("seconds", pa.timestamp("s"), [AT.replace(microsecond=0), datetime.datetime(1, 1, 1)]),
    ("instants", pa.timestamp("us", "UTC"), [AT.replace(tzinfo=UTC), datetime.datetime(2200, 1, 1, tzinfo=UTC)]),
    ("instants_ms", pa.timestamp("ms", "Europe/Berlin"), [datetime.datetime(2024, 3, 31, 1, tzinfo=UTC), datetime.datetime(1970, 1, 1, tzinfo=UTC)]),
    ("durations", pa.duration("us"), [datetime.timedelta(days=-1, microseconds=7), datetime.timedelta(0)]),
    ("spans", pa.month_day_nano_interval(), [SPAN, pa.MonthDayNano([0, 0, 0])]),
    ("nothing", pa.null(), [None, None]),
    ("int_lists", pa.list_(pa.int32()), [[1, None, -3], []]),
    ("long_lists", pa.large_list(pa.int64()), [[2**40], [0]]),
    ("text_lists", pa.list_(pa.string()), [["a,b", None, '"'], [""]]),
    ("fixed_lists", pa.list_(pa.float64(), 2), [[1.5, 2.5], [0.0, -1.0]]),
]
for name, kind, values in COLUMNS:

    def there_and_back():
        table = pa.table({"id": pa.array([1, 2, 3], pa.int32()), name: pa.array(values + [None], kind)})
        cursor.adbc_ingest(name, table, mode="create")
        cursor.adbc_ingest(name, table, mode="append")
        connection.commit()
        cursor.execute(f"SELECT id, {name} FROM {name} ORDER BY id")
        back = cursor.fetch_arrow_table()
        assert back.num_rows == 6, back.num_rows
        stored = rows(f"SELECT left(min({name}::text), 100), count({name}) FROM {name}")
        return types(back.schema), stored, [str(value)[:100] for value in back.column(1).to_pylist()]

    there_and_back.__name__ = f"column_of_{name}"
    check(there_and_back)


@check
def all_columns_of_many_rows_in_batches():
    """Each column that can be ingested, in one table, of so many rows that COPY sends many messages."""
    left_out = {"nothing", "halves", "large", "text_views", "fixed_lists"}
    columns = {
        name: pa.array((values + [None]) * 2000, kind)
        for name, kind, values in COLUMNS
        if name not in left_out and not name.startswith("large")
    }
    table = pa.table(columns)
    reader = pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=700))
    written = cursor.adbc_ingest("everything", reader, mode="create")
    connection.commit()
    cursor.execute("SELECT * FROM everything")
    batches = list(cursor.fetch_record_batch())
    back = pa.Table.from_batches(batches)
    for name in columns:
        if not pa.types.is_floating(table.column(name).type):
            ours, theirs = table.column(name).to_pylist(), back.column(name).to_pylist()
            assert len(ours) == len(theirs) == 6000
            assert [str(a) for a in theirs[:3]] * 2000 == [str(a) for a in theirs], name
    return written, types(back.schema), [str(row)[:300] for row in back.slice(0, 3).to_pylist()]


@check
def types_of_the_server_are_read():
    """What PostgreSQL has and Arrow has not comes as its text or its bytes."""
    cursor.execute("CREATE TYPE mood AS ENUM ('sad', 'happy')")
    cursor.execute(
        """CREATE TABLE kinds (a smallint, b int, c bigint, d real, e float8, f numeric, g numeric(10, 3), h text,
        i varchar(10), j char(5), k name, l "char", m bytea, n date, o time, p timestamp, q timestamptz, r interval,
        s bool, t uuid, u json, v jsonb, w inet, x mood, y int[], z text[], aa numeric[], bb timestamptz[], cc oid,
        dd timetz, ee int4range, ff bigint[][], gg macaddr, hh cidr)"""
    )
    cursor.execute(
        """INSERT INTO kinds VALUES (1, 2, 3, 1.5, 2.5, 12345678901234567890.0123, 1.125, 'é', 'v', 'c', 'n', 'q',
        '\\x00ff', '2024-02-29', '01:02:03.000004', '2024-02-29 01:02:03', '2024-02-29 01:02:03+02',
        '1 year 2 days 03:00', true, '00000000-0000-0000-0000-000000000007', '{"a" : 1}', '{"a" : 1}', '10.0.0.1/8', 'happy',
        '{1,NULL,3}', '{a,NULL,"b,c"}', '{1.5,NULL}', '{2024-02-29 01:02:03+02}', 42, '01:02:03+02', '[1,5)',
        '{{1,2},{3,4}}', '08:00:2b:01:02:03', '10.0.0.0/8')"""
    )
    cursor.execute("INSERT INTO kinds (a) VALUES (NULL)")
    connection.commit()
    found = []
    for row in rows(
        "SELECT attname FROM pg_attribute WHERE attrelid = 'kinds'::regclass AND attnum > 0 ORDER BY attnum"
    ):
        cursor.execute(f"SELECT {row[0]} FROM kinds")
        table = cursor.fetch_arrow_table()
        # The enum's OID is the server's own.
        kind = re.sub(r"oid:\d{5,}", "oid", str(table.schema.field(0).type))
        found.append((row[0], kind, str(table.column(0).to_pylist())))
    return found


@check
def special_numbers():
    query = "SELECT 'NaN'::float8, 'Infinity'::float4, 0.00::numeric, 1e20::numeric, -0.0001::numeric, 10000::numeric(20,4)"
    return [str(value) for value in rows(query)[0]]


@check
def modes_of_ingestion():
    table = pa.table({"a": pa.array([1, 2], pa.int64()), "b": pa.array(["x", None])})
    cursor.execute("CREATE SCHEMA other")
    said = [cursor.adbc_ingest("modes", table, mode="create", db_schema_name="other")]
    said.append(cursor.adbc_ingest("modes", table, mode="append", db_schema_name="other"))
    said.append(cursor.adbc_ingest("modes", table, mode="create_append", db_schema_name="other"))
    said.append(rows("SELECT count(*), sum(a) FROM other.modes"))
    said.append(cursor.adbc_ingest("modes", table, mode="replace", db_schema_name="other"))
    said.append(rows("SELECT count(*), sum(a) FROM other.modes"))
    connection.commit()
    said.append(cursor.adbc_ingest("for_now", table, mode="create", temporary=True))
    said.append(rows("SELECT count(*) FROM for_now"))
    connection.commit()
    return said


@check
def what_cannot_be_ingested_leaves_nothing():
    cursor.execute("CREATE TABLE keyed (a bigint PRIMARY KEY)")
    connection.commit()
    said = []
    for table in (pa.table({"a": pa.array([1, 2, 1], pa.int64())}), pa.table({"no_such": pa.array([1], pa.int64())})):
        try:
            cursor.adbc_ingest("keyed", table, mode="append")
            said.append("taken")
        except adbc_driver_manager.Error as error:
            said.append((type(error).__name__, error.sqlstate))
        connection.rollback()
    return said, rows("SELECT count(*) FROM keyed")


@check
def parameters_are_bound():
    """One row binds; many are executed one after the other."""
    cursor.execute("CREATE TABLE bound (a bigint, b text, c timestamptz, d float8, e bytea)")
    at = AT.replace(tzinfo=UTC)
    cursor.executemany(
        "INSERT INTO bound VALUES ($1, $2, $3, $4, $5)", [(n, f"n{n}", at, n / 2, bytes([n])) for n in range(50)]
    )
    connection.commit()
    found = rows("SELECT a, b, c, d, e FROM bound WHERE a = $1 AND b = $2", (7, "n7"))
    return str(found), rows("SELECT count(*), sum(a), min(c)::text FROM bound")


@check
def catalog_is_shown():
    cursor.execute(
        "CREATE TABLE family (id int PRIMARY KEY, parent int REFERENCES family, n numeric(10, 2) NOT NULL DEFAULT 1, u text UNIQUE)"
    )
    connection.commit()
    said = [types(connection.adbc_get_table_schema("family"))]
    found = connection.adbc_get_objects(depth="all", catalog_filter="postgres", db_schema_filter="public", table_name_filter="family")
    for catalog in found.read_all().to_pylist():
        for schema in catalog["catalog_db_schemas"]:
            for table in schema["db_schema_tables"]:
                said.append((table["table_name"], table["table_type"]))
                for column in sorted(table["table_columns"], key=lambda column: column["ordinal_position"]):
                    said.append({key: value for key, value in column.items() if value is not None})
                said.append(sorted(table["table_constraints"], key=str))
    return said, connection.adbc_get_table_types(), connection.adbc_get_info()["vendor_name"]


@check
def transactions_end_as_told():
    cursor.execute("CREATE TABLE ended (a int)")
    connection.commit()
    cursor.execute("INSERT INTO ended VALUES (1)")
    connection.rollback()
    said = [rows("SELECT count(*) FROM ended")]
    try:
        cursor.execute("SELECT 1 / (SELECT count(*) FROM ended)")
        said.append(cursor.fetchall())
    except adbc_driver_manager.Error as error:
        said.append((type(error).__name__, error.sqlstate))
    connection.rollback()
    with adbc.connect("postgresql://", autocommit=True) as other, other.cursor() as own:
        own.execute("INSERT INTO ended VALUES (2)")
    return said, rows("SELECT a FROM ended")


cursor.close()
connection.close()
