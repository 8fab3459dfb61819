"""psycopg 3 against Tidelog, by its defaults: the extended protocol, text and binary, COPY, notifications."""

import datetime
import decimal
import uuid

import psycopg

with psycopg.connect(autocommit=True) as connection:
    connection.execute("CREATE TABLE py (id int8 PRIMARY KEY, n numeric, at timestamptz, raw bytea, u uuid, j jsonb)")
    at = datetime.datetime(2026, 11, 23, 11, 22, 33, 456789, tzinfo=datetime.timezone.utc)
    row = (1, decimal.Decimal("12.340"), at, b"\x00\xff", uuid.UUID(int=7), {"a": [1, None, "é"]})
    values = row[:5] + (psycopg.types.json.Jsonb(row[5]),)
    # Often enough that psycopg prepares the statement.
    for number in range(1, 11):
        connection.execute("INSERT INTO py VALUES (%s, %s, %s, %s, %s, %s)", (number,) + values[1:])
    for binary in (False, True):
        with connection.cursor(binary=binary) as cursor:
            cursor.execute("SELECT * FROM py WHERE id = %s", (1,))
            assert cursor.fetchone() == row, "what was written comes back"
            cursor.execute("UPDATE py SET n = n + 1 WHERE id > %s RETURNING id", (8,))
            assert sorted(cursor.fetchall()) == [(9,), (10,)]

    try:
        connection.execute("INSERT INTO py (id) VALUES (1)")
        raise SystemExit("a duplicate key was taken")
    except psycopg.errors.UniqueViolation as error:
        assert error.diag.message_detail == "Key (id)=(1) already exists.", error.diag.message_detail

    with connection.transaction():
        connection.execute("DELETE FROM py WHERE id = 2")
    try:
        with connection.transaction():
            connection.execute("DELETE FROM py")
            raise KeyError
    except KeyError:
        pass
    assert connection.execute("SELECT count(*) FROM py").fetchone() == (9,)

    with connection.cursor() as cursor:
        with cursor.copy("COPY py (id, n) FROM STDIN") as copy:
            for number in range(100, 200):
                copy.write_row((number, None))
        with cursor.copy("COPY (SELECT id FROM py WHERE id >= 100 ORDER BY id) TO STDOUT") as copy:
            copy.set_types(["int8"])
            assert [number for (number,) in copy.rows()] == list(range(100, 200))

    # Server-side cursors: DECLARE, Describe of its portal, FETCH, MOVE.
    for options in ({}, {"scrollable": True}, {"withhold": True}):
        with psycopg.connect() as other, other.cursor("named", **options) as cursor:
            cursor.itersize = 30
            cursor.execute("SELECT id, n FROM py WHERE id >= %s ORDER BY id", (100,))
            assert [column.name for column in cursor.description] == ["id", "n"]
            assert cursor.fetchone() == (100, None)
            assert [number for (number, _) in cursor] == list(range(101, 200))
            if "scrollable" in options:
                cursor.scroll(10, mode="absolute")
                assert cursor.fetchmany(2) == [(110, None), (111, None)]
                cursor.scroll(-2)
                assert cursor.fetchone() == (110, None)
    with psycopg.connect() as other:
        # In a transaction block, as psycopg is without autocommit.
        with other.cursor() as cursor:
            feed = cursor.stream("SUBSCRIBE TO (SELECT id FROM py) WHERE id > %s OPTIONS (last_rows = 2)", (100,))
            seen = [next(feed) for _ in range(3)]
            assert [row[1] for row in seen] == ["snapshot", "snapshot", "ready"], seen
            connection.execute("INSERT INTO py (id) VALUES (1000)")
            row = next(feed)
            assert row[1:4] == ("insert", True, 1000), row
            other.cancel()
            try:
                next(feed)
                raise SystemExit("the feed went on after a cancel")
            except psycopg.errors.QueryCanceled:
                pass
        other.rollback()
        with other.cursor() as cursor:
            cursor.execute("DECLARE live CURSOR FOR SUBSCRIBE TO py OPTIONS (snapshot = false)")
            assert cursor.execute("FETCH ALL live WITH (timeout = '0')").fetchall()[0][1] == "ready"
            connection.execute("DELETE FROM py WHERE id = 1000")
            rows = cursor.execute("FETCH 10 live WITH (timeout = '30s')").fetchall()
            assert [row[1] for row in rows] == ["delete"], rows

    connection.execute("LISTEN chat")
    connection.execute("NOTIFY chat, 'hello'")
    (notification,) = connection.notifies(timeout=30, stop_after=1)
    assert (notification.channel, notification.payload) == ("chat", "hello")
    assert notification.pid == connection.info.backend_pid
    (heard,) = connection.execute("SELECT notification_seq()").fetchone()
    connection.execute("UNLISTEN chat")
    with psycopg.connect(autocommit=True) as other:
        other.execute("SELECT pg_notify('chat', 'while away')")
        other.execute("LISTEN chat WITH (since = '%d')" % heard)
        (notification,) = other.notifies(timeout=30, stop_after=1)
        assert notification.payload == "while away"

    connection.execute('LISTEN "public.py"')
    with psycopg.connect(autocommit=True) as other:
        other.execute("DELETE FROM py WHERE id = 3")
    (notification,) = connection.notifies(timeout=30, stop_after=1)
    assert '"op":"delete"' in notification.payload, notification.payload

    with connection.cursor() as cursor:
        feed = cursor.stream("SUBSCRIBE TO py OPTIONS (last_rows = 2)")
        assert [next(feed)[1] for _ in range(3)] == ["snapshot", "snapshot", "ready"]
        connection.cancel()
        try:
            next(feed)
            raise SystemExit("the feed went on after a cancel")
        except psycopg.errors.QueryCanceled:
            pass
    assert connection.execute("SELECT 1").fetchone() == (1,)
print("ok")
