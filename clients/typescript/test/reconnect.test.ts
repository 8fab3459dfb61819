import { afterEach, beforeEach, expect, test } from "vitest";
import { Auth, type Change, ConnectionError, createClient, type SeqId, type Status, type TidelogError } from "../src/index.js";
import { Server, until } from "./server.js";

interface Row {
  id: string;
  body: string;
}

let server: Server;
beforeEach(async () => {
  server = await Server.start();
  await server.sql("CREATE TABLE t (id bigint PRIMARY KEY, body text)");
});
afterEach(() => server.end());

test("through kills of the server a feed has no gap and no double, and live rows are the table's", async () => {
  const reader = server.client();
  const changes: Change<Row>[] = [];
  const resets: string[] = [];
  reader.subscribe<Row>("SUBSCRIBE TO t", (batch) => {
    changes.push(...batch.changes);
    if (batch.reset) resets.push(batch.reset.message);
  });
  let rows: Row[] = [];
  reader.live<Row>("SUBSCRIBE TO t", (present) => (rows = present));
  await until("ready", () => changes.length > 0);

  // A writer that says each thing until it is acknowledged; what was said twice is said with the same words.
  const writer = server.client();
  let writing = true;
  const written = (async () => {
    let n = 0;
    while (writing) {
      n++;
      const statements = [
        `INSERT INTO t VALUES (${n}, 'new') ON CONFLICT (id) DO NOTHING`,
        ...(n % 3 === 0 ? [`UPDATE t SET body = 'changed' WHERE id = ${n}`] : []),
        ...(n % 5 === 0 ? [`DELETE FROM t WHERE id = ${n - 2}`] : []),
      ];
      for (const sql of statements) {
        for (;;) {
          try {
            await writer.query(sql);
            break;
          } catch (error) {
            if (!(error instanceof ConnectionError)) throw error;
          }
        }
      }
    }
    return n;
  })();
  for (let round = 0; round < 3; round++) {
    const seen = changes.length;
    await until("some changes", () => changes.length > seen + 50);
    await server.stop("SIGKILL");
    await server.startAgain();
  }
  const seen = changes.length;
  await until("more changes", () => changes.length > seen + 50);
  writing = false;
  const last = await written;
  const table = await server.sql("SELECT id, body FROM t ORDER BY id");
  await writer.query("INSERT INTO t VALUES ($1, 'the end')", [last + 1]);
  await until("the end", () => rows.some(({ body }) => body === "the end"));
  await until("the end", () => changes.some((change) => change.op === "insert" && change.row.body === "the end"));

  expect(resets).toEqual([]);
  const seqs = changes.filter(({ op }) => op !== "ready").map(({ seq }): SeqId => seq);
  seqs.slice(1).forEach((seq, index) => expect(seq.compare(seqs[index]!)).toBeGreaterThan(0));
  const replayed = new Map<string, string>();
  for (const change of changes) {
    switch (change.op) {
      case "insert":
        expect(replayed.has(change.row.id)).toBe(false);
        replayed.set(change.row.id, change.row.body);
        break;
      case "update":
        expect(replayed.has(change.row.id)).toBe(true);
        replayed.set(change.row.id, change.row.body);
        break;
      case "delete":
        expect(replayed.delete(change.row.id)).toBe(true);
    }
  }
  replayed.delete(String(last + 1));
  expect([...replayed].sort(([a], [b]) => Number(a) - Number(b))).toEqual(table);
  const live = rows.filter(({ body }) => body !== "the end").map(({ id, body }) => [id, body]);
  expect(live.sort(([a], [b]) => Number(a) - Number(b))).toEqual(table);
});

test("what was not sent waits, what was sent may have happened, and the status says where it stands", async () => {
  const client = server.client();
  const statuses: Status[] = [];
  const events: string[] = [];
  client.on("status", (status) => statuses.push(status));
  client.on("online", () => events.push("online"));
  client.on("offline", (why) => events.push(`offline ${why?.code}`));
  expect(client.status).toBe("idle");
  await client.query("SELECT 1");
  const running = client.query("SELECT count(*) FROM generate_series(1, 100000000) a, generate_series(1, 100000) b");
  const lost = expect(running).rejects.toMatchObject({ name: "ConnectionError", code: "08007" });
  await client.query("SELECT 2");
  await server.stop("SIGKILL");
  await lost;
  await until("offline", () => client.status !== "online");
  const waiting = client.query("INSERT INTO t VALUES (1, 'said offline')");
  await server.startAgain();
  expect((await waiting).tag).toBe("INSERT 0 1");
  expect(client.status).toBe("online");
  expect(statuses.slice(0, 3)).toEqual(["connecting", "online", "offline"]);
  expect(events).toEqual(["online", "offline 08006", "online"]);
  client.close();
  expect(client.status).toBe("closed");
});

test("where no server is, a statement fails after a while and says why", async () => {
  const client = createClient({
    url: "http://127.0.0.1:1",
    authProvider: async () => Auth.basic("postgres"),
    reconnectDelayMs: { first: 20, max: 50 },
    connectTimeoutMs: 400,
  });
  const offline: (TidelogError | undefined)[] = [];
  const statuses: [Status, string | undefined][] = [];
  client.on("offline", (why) => offline.push(why));
  client.on("status", (status, why) => statuses.push([status, why?.code]));
  const errors: unknown[] = [];
  client.live("SUBSCRIBE TO t", () => {}, { onError: (error) => errors.push(error) });
  const begun = Date.now();
  // More than run at once: the last ones wait for their turn, too.
  const outcomes = await Promise.allSettled(Array.from({ length: 20 }, () => client.query("SELECT 1")));
  expect(Date.now() - begun).toBeGreaterThanOrEqual(390);
  expect(Date.now() - begun).toBeLessThan(5000);
  for (const outcome of outcomes) {
    expect(outcome).toMatchObject({ reason: { name: "ConnectionError", code: "08001" } });
    const { message, hint } = (outcome as PromiseRejectedResult).reason as TidelogError;
    expect(message).toContain("ws://127.0.0.1:1/v1/ws within 400 ms: ");
    expect(message).toContain("ECONNREFUSED");
    expect(hint).toContain("http_origins");
  }
  await until("another attempt", () => statuses.filter(([status]) => status === "offline").length > 1);
  expect(statuses.slice(0, 3)).toEqual([["connecting", undefined], ["offline", "08006"], ["connecting", undefined]]);
  expect(offline.map((why) => why?.code)).toEqual(["08006"]);
  // It goes on trying.
  expect(errors).toEqual([]);
  client.close();
  for (const url of ["127.0.0.1:8080", "localhost:8080", "/v1/ws", ""]) {
    expect(() => createClient({ url, authProvider: async () => Auth.basic("postgres") }), url).toThrow(TypeError);
  }
});

test("a server that stops in good order is waited for, too", async () => {
  const client = server.client();
  let rows: Row[] = [];
  const errors: unknown[] = [];
  client.live<Row>("SUBSCRIBE TO t", (present) => (rows = present), { onError: (error) => errors.push(error) });
  await client.query("INSERT INTO t VALUES (1, 'before')");
  await until("the row", () => rows.length === 1);
  await server.stop("SIGTERM");
  await server.startAgain();
  await server.sql("INSERT INTO t VALUES (2, 'after')");
  await until("the next row", () => rows.length === 2);
  expect(errors).toEqual([]);
});
