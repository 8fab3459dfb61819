import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  Auth,
  AuthenticationError,
  CanceledError,
  type ChangeBatch,
  ConnectionError,
  ConstraintError,
  createClient,
  DataError,
  SeqId,
  StatementError,
  type TidelogError,
  UnsupportedError,
} from "../src/index.js";
import type { SocketConstructor } from "../src/connection.js";
import { Server, until } from "./server.js";

interface Message {
  id: string;
  room: string;
  body: string | null;
}

let server: Server;

beforeAll(async () => {
  server = await Server.start();
  for (const sql of [
    "CREATE SCHEMA chat",
    "CREATE ROLE alice LOGIN PASSWORD 'wonderland'",
    "CREATE ROLE bob LOGIN PASSWORD 'builder'",
    "CREATE TABLE chat.inbox (id bigint PRIMARY KEY, body text) WITH (type = 'user')",
  ]) {
    await server.sql(sql);
  }
});
afterAll(() => server.end());

let tables = 0;
/** A table of messages that no other test uses. */
async function table(rows = 0): Promise<string> {
  const name = `chat.messages_${++tables}`;
  await server.sql(`CREATE TABLE ${name} (id bigint PRIMARY KEY, room text, body text)`);
  if (rows > 0) await server.sql(`INSERT INTO ${name} SELECT g, 'a', 'row ' || g FROM generate_series(1, ${rows}) g`);
  return name;
}

describe("compression", () => {
  /** What a WebSocket gets, counted. */
  async function counting(count: (data: string | ArrayBuffer) => void): Promise<SocketConstructor> {
    const name = "ws";
    const { WebSocket } = (await import(name)) as { WebSocket: typeof globalThis.WebSocket };
    class Counting extends WebSocket {
      constructor(url: string, protocols: string[]) {
        super(url, protocols);
        this.addEventListener("message", ({ data }) => count(data as string | ArrayBuffer));
      }
    }
    return Counting as unknown as SocketConstructor;
  }

  test("makes large frames small, and keeps all of them in order", async () => {
    const name = await table();
    const body = "the same words again and again, ".repeat(40);
    await server.sql(`INSERT INTO ${name} SELECT g, 'a', '${body}' || g FROM generate_series(1, 300) g`);
    let [bytes, compressed] = [0, 0];
    const WebSocket = await counting((data) => {
      bytes += typeof data === "string" ? data.length : data.byteLength;
      if (typeof data !== "string") compressed += 1;
    });
    const client = createClient({ url: server.url, authProvider: async () => Auth.basic("postgres", ""), WebSocket });
    const large = client.query<Message>(`SELECT * FROM ${name} ORDER BY id`);
    const small = client.query("SELECT 1 AS n");
    const { rows } = await large;
    expect(rows.map((row) => row.body)).toEqual(Array.from({ length: 300 }, (_, n) => body + (n + 1)));
    expect((await small).rows).toEqual([{ n: 1 }]);
    expect(compressed).toBeGreaterThan(0);
    expect(bytes).toBeLessThan((300 * body.length) / 10);

    const ids: string[] = [];
    const stop = client.subscribe<Message>(`SUBSCRIBE TO ${name}`, (batch) => {
      for (const change of batch.changes) if (change.op !== "ready" && change.op !== "progress") ids.push(change.row.id);
    });
    await until("the snapshot", () => ids.length === 300);
    await server.sql(`INSERT INTO ${name} SELECT g, 'b', '${body}' FROM generate_series(301, 330) g`);
    await server.sql(`INSERT INTO ${name} VALUES (331, 'b', 'short')`);
    await until("what came later", () => ids.length === 331);
    expect(ids).toEqual(Array.from({ length: 331 }, (_, n) => String(n + 1)));
    stop();
    client.close();
  });
});

describe("query", () => {
  test("gives typed rows without losing digits", async () => {
    const client = server.client();
    const result = await client.query<{ id: string; half: number; yes: boolean; at: string; doc: object }>(
      "SELECT $1::bigint AS id, 0.5::float8 AS half, true AS yes, $2::timestamptz AS at, $3::jsonb AS doc",
      [9007199254740993n, new Date("2026-01-02T03:04:05Z"), { a: [1, "x"] }],
    );
    expect(result.rows).toEqual([
      { id: "9007199254740993", half: 0.5, yes: true, at: "2026-01-02T03:04:05+00:00", doc: { a: [1, "x"] } },
    ]);
    expect(result.columns[0]).toEqual({ name: "id", type: "bigint" });
    expect(result).toMatchObject({ tag: "SELECT 1", rowCount: 1, notices: [] });
  });

  test("runs many at once, large ones and none", async () => {
    const client = server.client();
    const name = await table();
    const inserts = Array.from({ length: 100 }, (_, id) =>
      client.query(`INSERT INTO ${name} VALUES ($1, 'r', NULL)`, [id]),
    );
    expect((await Promise.all(inserts)).every(({ rowCount }) => rowCount === 1)).toBe(true);
    const { rows } = await client.query<{ g: number }>("SELECT g::int4 AS g FROM generate_series(1, 50000) g ORDER BY g");
    expect(rows.length).toBe(50_000);
    expect(rows.at(-1)?.g).toBe(50_000);
    expect((await client.query(`DELETE FROM ${name} WHERE id < 0`)).rowCount).toBe(0);
  });

  test("fails with typed errors, and the next one succeeds", async () => {
    const client = server.client();
    const name = await table(1);
    const fails = (sql: string, params: string[] = []): Promise<TidelogError> =>
      client.query(sql, params).then(
        () => Promise.reject(new Error(`${sql} succeeded`)),
        (error: TidelogError) => error,
      );
    expect(await fails("SELECT * FROM nowhere")).toMatchObject({ code: "42P01", position: 15 });
    expect(await fails("SELECT * FROM nowhere")).toBeInstanceOf(StatementError);
    expect(await fails("SELECT $1::bigint", ["x"])).toBeInstanceOf(DataError);
    const twice = await fails(`INSERT INTO ${name} VALUES (1)`);
    expect(twice).toBeInstanceOf(ConstraintError);
    expect(twice.detail).toBe("Key (id)=(1) already exists.");
    expect(await fails("BEGIN")).toBeInstanceOf(UnsupportedError);
    expect((await client.query("SELECT 1 AS one")).rows).toEqual([{ one: 1 }]);
  });

  test("fails alone when it cannot be sent, while others wait for the connection or run", async () => {
    const name = await table(1);
    for (const online of [false, true]) {
      const client = server.client();
      if (online) await client.query("SELECT 1");
      const shown = new Shown<Message>();
      const half = "hello 😀".slice(0, 7);
      const cyclic: Record<string, unknown> = {};
      cyclic.cyclic = cyclic;
      const refused = Promise.allSettled([
        client.query("SELECT $1::text", [half]),
        client.query(`SELECT '${half}'`),
        client.query("SELECT $1::timestamptz", [new Date(NaN)]),
        client.query("SELECT $1::jsonb", [cyclic]),
        client.query("SELECT length($1)", ["x".repeat(2 << 20)]),
      ]);
      const parameters: TidelogError[] = [];
      client.live(`SELECT * FROM ${name} WHERE body = $1`, () => {}, {
        params: [half],
        onError: (error) => parameters.push(error),
      });
      client.live<Message>(`SUBSCRIBE TO ${name}`, shown.show, { onError: (error) => shown.errors.push(error) });
      const fine = client.query("SELECT 1 AS one");
      const codes = (await refused).map((outcome) => {
        const { reason } = outcome as PromiseRejectedResult;
        return [(reason as Error).name, (reason as TidelogError).code];
      });
      expect(codes).toEqual([
        ["DataError", "22021"],
        ["DataError", "22021"],
        ["DataError", "22007"],
        ["DataError", "22P02"],
        ["TidelogError", "54000"],
      ]);
      expect((await fine).rows).toEqual([{ one: 1 }]);
      await until("the rows", () => shown.times > 0);
      expect(shown.errors).toEqual([]);
      await until("the refusal", () => parameters.length > 0);
      expect(parameters).toMatchObject([{ name: "DataError", code: "22021" }]);
      client.close();
    }
  });

  test("takes arrays of whatever JavaScript has", async () => {
    const client = server.client();
    const { rows } = await client.query(
      "SELECT $1::int8[] AS big, $2::float8[] AS f, $3::bytea[] AS b, $4::timestamptz[] AS t, $5::jsonb AS j, $6::int[] AS n",
      [[1n, 2n ** 62n], [NaN, 0.5, null], [new Uint8Array([7])], [new Date(8.64e15)], { a: 1n }, [[1, 2], [3, 4]]],
    );
    expect(rows).toEqual([
      {
        big: ["1", String(2n ** 62n)],
        f: ["NaN", 0.5, null],
        b: ["\\x07"],
        t: ["275760-09-13T00:00:00+00:00"],
        j: { a: "1" },
        n: [[1, 2], [3, 4]],
      },
    ]);
    const found = await client.query("SELECT count(*)::int4 AS n FROM generate_series(1, 9) g WHERE g = ANY($1)", [[1n, 5n]]);
    expect(found.rows).toEqual([{ n: 2 }]);
  });

  test("with a wrong number of parameters is no trouble of the connection", async () => {
    const client = server.client();
    await expect(client.query("SELECT $1::int", [])).rejects.toMatchObject({ name: "StatementError", code: "42601" });
    await expect(client.query("SELECT 1", [1])).rejects.toMatchObject({ name: "StatementError", code: "42601" });
  });

  test("is cancelled by its signal", async () => {
    const client = server.client();
    await client.query("SELECT 1");
    const controller = new AbortController();
    const endless = client.query(
      "SELECT count(*) FROM generate_series(1, 100000000) a, generate_series(1, 100000) b",
      [],
      { signal: controller.signal },
    );
    setTimeout(() => controller.abort(), 100);
    await expect(endless).rejects.toBeInstanceOf(CanceledError);
    await expect(client.query("SELECT 1", [], { signal: AbortSignal.abort("no") })).rejects.toMatchObject({
      code: "57014",
      cause: "no",
    });
  });

  test("is cancelled while it waits for others", async () => {
    const client = server.client();
    const others = new AbortController();
    const slow = Array.from({ length: 16 }, () =>
      client.query("SELECT pg_sleep(30)", [], { signal: others.signal }),
    );
    const outcomes = Promise.allSettled(slow);
    const controller = new AbortController();
    const waiting = client.query("SELECT 1", [], { signal: controller.signal });
    setTimeout(() => controller.abort(), 100);
    await expect(waiting).rejects.toBeInstanceOf(CanceledError);
    others.abort();
    expect((await outcomes).every((outcome) => outcome.status === "rejected")).toBe(true);
    expect((await client.query("SELECT 1 AS one")).rows).toEqual([{ one: 1 }]);
  });

  test("fails when the role is not let in, and tries again with new credentials", async () => {
    let password = "wrong";
    const asked: string[] = [];
    const client = createClient({
      url: server.url,
      authProvider: async () => {
        asked.push(password);
        return Auth.basic("alice", password);
      },
    });
    await expect(client.query("SELECT 1")).rejects.toBeInstanceOf(AuthenticationError);
    password = "wonderland";
    expect((await client.query("SELECT current_user AS me")).rows).toEqual([{ me: "alice" }]);
    expect(asked).toEqual(["wrong", "wonderland"]);
    client.close();
    await expect(client.query("SELECT 1")).rejects.toBeInstanceOf(ConnectionError);
    const jwt = createClient({ url: server.url, authProvider: async () => Auth.jwt("a.b.c") });
    await expect(jwt.query("SELECT 1")).rejects.toBeInstanceOf(UnsupportedError);
    jwt.close();
  });
});

/** What a live query has shown. */
class Shown<Row> {
  rows: Row[] = [];
  times = 0;
  errors: TidelogError[] = [];
  show = (rows: Row[]): void => {
    this.rows = rows;
    this.times++;
  };
}

describe("live", () => {
  test("keeps the rows of a filter by primary key", async () => {
    const client = server.client();
    const name = await table(3);
    const shown = new Shown<Message>();
    const end = client.live<Message>(`SUBSCRIBE TO ${name} WHERE room = 'a'`, shown.show);
    await until("the rows", () => shown.times > 0);
    expect(shown.rows.map(({ body }) => body)).toEqual(["row 1", "row 2", "row 3"]);
    await client.query(`INSERT INTO ${name} VALUES (4, 'a', NULL), (5, 'b', 'elsewhere')`);
    await client.query(`UPDATE ${name} SET body = 'ROW 2' WHERE id = 2`);
    await client.query(`UPDATE ${name} SET room = 'b' WHERE id = 1`);
    await client.query(`UPDATE ${name} SET room = 'a' WHERE id = 5`);
    await client.query(`UPDATE ${name} SET id = 30 WHERE id = 3`);
    await until("the changes", () => shown.rows.some(({ id }) => id === "30"));
    expect(shown.rows).toEqual([
      { id: "2", room: "a", body: "ROW 2" },
      { id: "30", room: "a", body: "row 3" },
      { id: "4", room: "a", body: null },
      { id: "5", room: "a", body: "elsewhere" },
    ]);
    const times = shown.times;
    end();
    await client.query(`DELETE FROM ${name}`);
    await client.query("SELECT 1");
    expect(shown.times).toBe(times);
  });

  test("keeps what a SELECT shows, expressions and parameters included", async () => {
    const client = server.client();
    const name = await table(3);
    const [shown, refused] = [new Shown<{ id: string; shout: string }>(), new Shown<unknown>()];
    const sql = `SELECT id, upper(body) AS shout FROM ${name} WHERE room = $1 AND id > $2;`;
    client.live<{ id: string; shout: string }>(sql, shown.show, { params: ["a", 1n] });
    client.live(`SELECT room, count(*) FROM ${name} GROUP BY room`, refused.show, {
      onError: (error) => refused.errors.push(error),
    });
    await until("the rows", () => shown.times > 0);
    expect(shown.rows).toEqual([
      { id: "2", shout: "ROW 2" },
      { id: "3", shout: "ROW 3" },
    ]);
    await client.query(`UPDATE ${name} SET body = 'louder' WHERE id = 2`);
    await client.query(`UPDATE ${name} SET room = 'b' WHERE id = 3`);
    await client.query(`INSERT INTO ${name} VALUES (4, 'a', 'four'), (5, 'b', 'elsewhere')`);
    await until("the changes", () => shown.rows.some(({ id }) => id === "4"));
    expect(shown.rows).toEqual([
      { id: "2", shout: "LOUDER" },
      { id: "4", shout: "FOUR" },
    ]);
    await until("the refusal", () => refused.errors.length > 0);
    expect(refused.errors[0]).toBeInstanceOf(UnsupportedError);
  });

  test("finds SUBSCRIBE behind comments", async () => {
    const client = server.client();
    const name = await table(1);
    for (const sql of [
      `/* a /* nested */ -- one */ subscribe TO ${name}`,
      `-- SUBSCRIBE TO nowhere\n  SUBSCRIBE TO ${name};`,
      `/* SUBSCRIBE TO */ SELECT * FROM ${name} -- all`,
    ]) {
      const shown = new Shown<Message>();
      client.live<Message>(sql, shown.show, { onError: (error) => shown.errors.push(error) });
      await until(sql, () => shown.times + shown.errors.length > 0);
      expect(shown.errors).toEqual([]);
      expect(shown.rows.length).toBe(1);
    }
  });

  test("begins with the newest rows, or behind a position", async () => {
    const client = server.client();
    const name = await table(100);
    const newest = new Shown<Message>();
    let seq: SeqId | undefined;
    client.live<Message>(
      `SUBSCRIBE TO ${name}`,
      (rows, info) => {
        newest.show(rows);
        seq = info.seq;
      },
      { subscriptionOptions: { last_rows: 3 } },
    );
    await until("the newest rows", () => newest.times > 0);
    expect(newest.rows.map(({ id }) => id)).toEqual(["98", "99", "100"]);
    // Beside options of the statement's own.
    const two = new Shown<Message>();
    client.live<Message>(`SUBSCRIBE TO ${name} OPTIONS (progress, last_rows = 7) -- two`, two.show, {
      subscriptionOptions: { last_rows: 2 },
    });
    await until("the newest two", () => two.times > 0);
    expect(two.rows.map(({ id }) => id)).toEqual(["99", "100"]);
    // The first one goes on, and its position with it.
    const from = SeqId.from(String(seq));
    await client.query(`INSERT INTO ${name} VALUES (101, 'a', 'new')`);
    const later = new Shown<Message>();
    client.live<Message>(`SUBSCRIBE TO ${name}`, later.show, {
      subscriptionOptions: { from },
    });
    await until("what came since", () => later.rows.length > 0);
    expect(later.rows.map(({ id }) => id)).toEqual(["101"]);
  });

  test("shows each user his own rows", async () => {
    const [alice, bob] = [server.client("alice", "wonderland"), server.client("bob", "builder")];
    const [hers, his] = [new Shown<Message>(), new Shown<Message>()];
    alice.live<Message>("SUBSCRIBE TO chat.inbox", hers.show);
    bob.live<Message>("SUBSCRIBE TO chat.inbox", his.show);
    await until("both", () => hers.times > 0 && his.times > 0);
    await alice.query("INSERT INTO chat.inbox VALUES (1, 'for alice')");
    await bob.query("INSERT INTO chat.inbox VALUES (1, 'for bob')");
    await until("both", () => hers.rows.length > 0 && his.rows.length > 0);
    expect(hers.rows[0]?.body).toBe("for alice");
    expect(his.rows[0]?.body).toBe("for bob");
  });

  test("many share a connection, and an error ends one of them", async () => {
    const client = server.client();
    const name = await table(50);
    const shown = Array.from({ length: 50 }, (_, n) => {
      const one = new Shown<Message>();
      const sql = n === 7 ? "SUBSCRIBE TO nowhere" : `SUBSCRIBE TO ${name} WHERE id = ${n + 1}`;
      client.live<Message>(sql, one.show, { onError: (error) => one.errors.push(error) });
      return one;
    });
    await until("all", () => shown.every(({ times, errors }) => times + errors.length > 0));
    expect(shown[7]?.errors[0]).toMatchObject({ code: "42P01" });
    await client.query(`UPDATE ${name} SET body = 'changed'`);
    await until("all changes", () => shown.every(({ rows }, n) => n === 7 || rows[0]?.body === "changed"));
    expect(shown.reduce((errors, one) => errors + one.errors.length, 0)).toBe(1);
  });

  test("starts over when the table is altered", async () => {
    const client = server.client();
    const name = await table(2);
    const shown = new Shown<Message & { edited?: boolean | null }>();
    client.live<Message>(`SUBSCRIBE TO ${name}`, shown.show);
    await until("the rows", () => shown.times > 0);
    await server.sql(`ALTER TABLE ${name} ADD COLUMN edited bool`);
    // Nothing else is written.
    await until("the new column", () => shown.rows[1]?.edited === null);
    await server.sql(`UPDATE ${name} SET edited = true WHERE id = 2`);
    await until("its value", () => shown.rows[1]?.edited === true);
    expect(shown.rows[0]).toEqual({ id: "1", room: "a", body: "row 1", edited: null });
  });

  test("ends with its signal", async () => {
    const client = server.client();
    const name = await table();
    const controller = new AbortController();
    const shown = new Shown<Message>();
    client.live<Message>(`SUBSCRIBE TO ${name}`, shown.show, { signal: controller.signal });
    await until("the rows", () => shown.times > 0);
    controller.abort();
    await client.query(`INSERT INTO ${name} VALUES (1, 'a', 'x')`);
    await client.query("SELECT 1");
    expect(shown.times).toBe(1);
  });
});

describe("subscribe", () => {
  test("waits for a slow handler, and loses nothing", async () => {
    const client = server.client();
    const name = await table();
    const batches: ChangeBatch<Message>[] = [];
    let release = (): void => {};
    let waits = new Promise<void>((resolve) => (release = resolve));
    client.subscribe<Message>(`SUBSCRIBE TO ${name}`, async (batch) => {
      batches.push(batch);
      await waits;
    });
    await until("ready", () => batches.length === 1);
    for (let n = 0; n < 40; n++) {
      await server.sql(`INSERT INTO ${name} SELECT ${n * 100} + g, 'r', repeat('x', 1000) FROM generate_series(1, 100) g`);
    }
    expect(batches.length).toBe(1);
    release();
    waits = Promise.resolve();
    const changes = () => batches.flatMap((batch) => batch.changes).filter(({ op }) => op === "insert");
    await until("all of it", () => changes().length === 4000);
    const ids = changes().map((change) => (change.op === "insert" ? Number(change.row.id) : 0));
    expect(ids).toEqual(Array.from({ length: 4000 }, (_, n) => n + 1));
  });

  test("tells where transactions end", async () => {
    const client = server.client();
    const name = await table();
    const changes: ChangeBatch<Message>["changes"] = [];
    client.subscribe<Message>(`SUBSCRIBE TO ${name}`, (batch) => void changes.push(...batch.changes));
    await until("ready", () => changes.length === 1);
    await client.query(`INSERT INTO ${name} VALUES (1, 'a', ''), (2, 'a', ''), (3, 'a', '')`);
    await client.query(`DELETE FROM ${name} WHERE id = 2`);
    await until("the changes", () => changes.length === 5);
    expect(changes.map(({ op, commit }) => [op, commit])).toEqual([
      ["ready", true],
      ["insert", false],
      ["insert", false],
      ["insert", true],
      ["delete", true],
    ]);
  });
});
