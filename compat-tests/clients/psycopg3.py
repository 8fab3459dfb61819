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
