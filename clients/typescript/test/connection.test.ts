import { afterEach, expect, test } from "vitest";
import { Auth, type Client, createClient, type TidelogError } from "../src/index.js";
import type { Socket, SocketConstructor } from "../src/connection.js";
import { until } from "./server.js";

type Sent = { type: string; id?: number; sql?: string; from?: string };

/** What a socket of the server below was told, and a way to answer. */
interface Peer {
  sent: Sent[];
  answer(frame: object | string): void;
}

/** A client, and a server that welcomes it and leaves the rest to the test: one that fails as no real one is made to. */
function pair(): { client: Client; peers: Peer[] } {
  const peers: Peer[] = [];
  class Scripted implements Socket {
    readonly readyState = 1;
    binaryType = "";
    onopen: Socket["onopen"] = null;
    onmessage: Socket["onmessage"] = null;
    onclose: Socket["onclose"] = null;
    onerror: Socket["onerror"] = null;
    readonly peer: Peer = {
      sent: [],
      answer: (frame) => this.onmessage?.({ data: typeof frame === "string" ? frame : JSON.stringify(frame) }),
    };

    constructor() {
      peers.push(this.peer);
      setTimeout(() => this.onopen?.(undefined as never));
    }

    send(data: string): void {
      const frame = JSON.parse(data) as Sent;
      if (frame.type !== "hello") this.peer.sent.push(frame);
      else this.peer.answer({ type: "welcome", version: 1, user: "u", server: "s", limits: { frame_bytes: 1000 } });
    }

    close(): void {}
  }
  const client = createClient({
    url: "http://127.0.0.1:1",
    authProvider: async () => Auth.basic("u"),
    WebSocket: Scripted as unknown as SocketConstructor,
    reconnectDelayMs: { first: 5, max: 5 },
  });
  clients.push(client);
  return { client, peers };
}
const clients: Client[] = [];
afterEach(() => clients.splice(0).forEach((client) => client.close()));

test("when the server closes over a frame, what it had answered to goes on", async () => {
  const { client, peers } = pair();
  const errors: [string, TidelogError][] = [];
  const follow = (table: string) =>
    client.subscribe(`SUBSCRIBE TO ${table}`, () => {}, { onError: (error) => errors.push([table, error]) });
  follow("answered");
  follow("unread");
  const query = client.query("SELECT 1");
  await until("all three", () => peers[0]?.sent.length === 3);
  const [answered, , asked] = peers[0]!.sent;
  expect(asked?.sql).toBe("SELECT 1");
  peers[0]!.answer({ type: "subscribed", id: answered?.id, columns: [], key: null, snapshot: false });
  peers[0]!.answer({ type: "batch", id: answered?.id, changes: [{ op: "ready", seq: "7", commit: true }], seq: "7" });
  peers[0]!.answer({ type: "error", error: { code: "08P01", message: "malformed frame" } });
  // Whether it was run is not known.
  await expect(query).rejects.toMatchObject({ name: "ConnectionError", code: "08007" });
  await until("the next connection", () => peers[1]?.sent.length === 1);
  expect(peers[1]!.sent[0]).toMatchObject({ type: "subscribe", sql: "SUBSCRIBE TO answered", from: "7" });
  expect(errors).toMatchObject([["unread", { name: "TidelogError", code: "08P01" }]]);
  expect(client.status).toBe("online");
});

test("what is larger than a frame may be fails alone", async () => {
  const { client, peers } = pair();
  const errors: TidelogError[] = [];
  // They wait for the connection, in front of others.
  const large = client.query("SELECT $1", ["ä".repeat(500)]);
  client.live("SELECT * FROM t WHERE a = $1", () => {}, {
    params: ["x".repeat(1000)],
    onError: (error) => errors.push(error),
  });
  const refused = expect(large).rejects.toMatchObject({ name: "TidelogError", code: "54000" });
  const fits = client.query("SELECT 1", ["x".repeat(800)]);
  await refused;
  await until("the statement that fits", () => peers[0]?.sent.length === 1);
  await until("the error", () => errors.length > 0);
  expect(errors).toMatchObject([{ code: "54000" }]);
  peers[0]!.answer({ type: "done", id: peers[0]!.sent[0]!.id, tag: "SELECT 1" });
  expect((await fits).tag).toBe("SELECT 1");
  await expect(client.query("SELECT $1", ["x".repeat(1000)])).rejects.toMatchObject({ code: "54000" });
});

test("a frame that breaks one subscription breaks no other, and one that is no JSON is a lost connection", async () => {
  const { client, peers } = pair();
  const errors: TidelogError[] = [];
  client.subscribe("SUBSCRIBE TO t", () => {}, { onError: (error) => errors.push(error) });
  const query = client.query("SELECT 1");
  await until("both", () => peers[0]?.sent.length === 2);
  peers[0]!.answer({ type: "batch", id: peers[0]!.sent[0]!.id, changes: [{ op: "ready", seq: "x" }] });
  await until("the error", () => errors.length > 0);
  expect(errors).toMatchObject([{ code: "XX000" }]);
  peers[0]!.answer({ type: "done", id: peers[0]!.sent[1]!.id, tag: "SELECT 1" });
  expect((await query).tag).toBe("SELECT 1");
  const next = client.query("SELECT 2");
  await until("the next", () => peers[0]?.sent.length === 3);
  peers[0]!.answer("{");
  await expect(next).rejects.toMatchObject({ code: "08007" });
  const last = client.query("SELECT 3");
  await until("the next connection", () => peers[1]?.sent.length === 1);
  peers[1]!.answer({ type: "done", id: peers[1]!.sent[0]!.id, tag: "SELECT 1" });
  expect((await last).tag).toBe("SELECT 1");
});

test("a handler that throws stops nothing: the server may send as much as before", async () => {
  const { client, peers } = pair();
  // What it throws is reported where nobody catches it.
  const thrown: unknown[] = [];
  const listeners = process.listeners("uncaughtException");
  process.removeAllListeners("uncaughtException");
  process.on("uncaughtException", (error) => thrown.push(error));
  try {
    client.live("SUBSCRIBE TO t", () => {
      throw new Error("shown");
    });
    client.subscribe("SUBSCRIBE TO t", () => Promise.reject(new Error("followed")));
    await until("both", () => peers[0]?.sent.length === 2);
    const ids = peers[0]!.sent.map(({ id }) => id);
    for (const id of ids) {
      peers[0]!.answer({ type: "subscribed", id, columns: [], key: null, snapshot: false });
      for (let seq = 1; seq <= 10; seq++) {
        peers[0]!.answer({ type: "batch", id, changes: [{ op: "ready", seq: `${seq}`, commit: true }], seq: `${seq}` });
      }
    }
    const credits = (of?: number) => peers[0]!.sent.filter(({ type, id }) => type === "credit" && id === of).length;
    await until("the credits", () => ids.every((id) => credits(id) === 10));
    await until("the errors", () => thrown.length === 20);
  } finally {
    process.removeAllListeners("uncaughtException");
    listeners.forEach((listener) => process.on("uncaughtException", listener));
  }
});
