"""asyncpg by its defaults: types that it looks up, COPY, portals that it moves in, statements that tables outgrow."""

import asyncio
import datetime
import decimal
import os

import asyncpg


async def main():
    connection = await asyncpg.connect(ssl=False)
    # Arrays and what users make are looked up by one recursive query over the catalog.
    assert await connection.fetchval("SELECT array[1, NULL, 3]") == [1, None, 3]
    assert await connection.fetchval("SELECT array['a', 'b,c']") == ["a", "b,c"]
    await connection.execute("CREATE TYPE mood AS ENUM ('sad', 'happy')")
    await connection.execute(
        "CREATE TABLE t (id int PRIMARY KEY, m mood, ms mood[], tags text[], n numeric(10, 3), at timestamptz)"
    )
    at = datetime.datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=datetime.timezone.utc)
    row = (1, "happy", ["sad", None], ["x", None, '"q,'], decimal.Decimal("1.125"), at)
    await connection.execute("INSERT INTO t VALUES ($1, $2, $3, $4, $5, $6)", *row)
    assert tuple(await connection.fetchrow("SELECT * FROM t")) == row
    assert [a.type.name for a in (await connection.prepare("SELECT * FROM t")).get_attributes()] == [
        "int4", "mood", "mood[]", "text[]", "numeric", "timestamptz",
    ]

    rows = [(n, "sad", [], [str(n)], decimal.Decimal(n) / 8, at) for n in range(2, 500)]
    assert await connection.copy_records_to_table("t", records=rows) == "COPY 498"
    await connection.executemany("INSERT INTO t (id, n) VALUES ($1, $2)", [(1000 + n, n) for n in range(300)])
    assert await connection.fetchval("SELECT count(*) FROM t") == 799
    assert await connection.fetchval("SELECT count(*) FROM t WHERE id = any($1::int[])", [1, 2, 5000]) == 2

    async with connection.transaction():
        cursor = await connection.cursor("SELECT id FROM t ORDER BY id")
        assert await cursor.forward(10) == 10
        assert [r["id"] for r in await cursor.fetch(3)] == [11, 12, 13]
        assert await cursor.forward(2) == 2
        assert (await cursor.fetchrow())["id"] == 16
        assert await cursor.forward(10_000) == 783
        assert await cursor.fetchrow() is None
        try:
            async with connection.transaction():
                await connection.execute("MOVE 1 IN nothing")
            raise SystemExit("a cursor that is not there moved")
        except asyncpg.InvalidCursorNameError:
            pass

    # A statement that the table has outgrown is prepared again.
    statement = await connection.prepare("SELECT * FROM t WHERE id = $1")
    assert len(await statement.fetchrow(1)) == 6
    await connection.execute("ALTER TABLE t ADD COLUMN more int DEFAULT 7")
    try:
        await statement.fetchrow(1)
        raise SystemExit("the statement told of a column too few")
    except asyncpg.InvalidCachedStatementError:
        pass
    assert (await connection.fetchrow("SELECT * FROM t WHERE id = $1", 1))["more"] == 7
    await connection.execute("ALTER TABLE t DROP COLUMN more")
    assert len(await connection.fetchrow("SELECT * FROM t WHERE id = $1", 1)) == 6
    await connection.close()
    print("ok")


asyncio.run(main())
