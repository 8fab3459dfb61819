import { describe, expect, test } from "vitest";
import { ConnectionError, ConstraintError, DataError, SeqId, StatementError, TidelogError } from "../src/index.js";
import { LiveRows } from "../src/live.js";
import type { Change, ChangeBatch } from "../src/subscription.js";
import { encodeParam, encodeParams, type Param, toObject } from "../src/values.js";

describe("SeqId", () => {
  test("keeps every digit", () => {
    const seq = SeqId.from("7262216745594062848");
    expect(String(seq)).toBe("7262216745594062848");
    expect(JSON.stringify({ seq })).toBe('{"seq":"7262216745594062848"}');
    expect(seq.toBigInt()).toBe(7262216745594062848n);
    expect(SeqId.from(7262216745594062848n).equals(seq)).toBe(true);
    expect(SeqId.from(seq)).toBe(seq);
  });

  test("knows when it was drawn", () => {
    expect(SeqId.from(0n).toDate().toISOString()).toBe("2024-01-01T00:00:00.000Z");
    expect(SeqId.from((86_400_000n << 22n) | 5n).toDate().toISOString()).toBe("2024-01-02T00:00:00.000Z");
  });

  test("orders", () => {
    expect(SeqId.from("9").compare(SeqId.from("10"))).toBeLessThan(0);
    expect(SeqId.from("10").compare(SeqId.from("9"))).toBeGreaterThan(0);
    expect(SeqId.from("10").compare(SeqId.from("10"))).toBe(0);
  });

  test.each(["", "-1", "1.5", "x", "9223372036854775808", 7, null])("refuses %j", (value) => {
    expect(() => SeqId.from(value as string)).toThrow(TypeError);
  });
});

test("errors are typed by their SQLSTATE", () => {
  const error = TidelogError.from({ code: "23505", message: "m", constraint: "t_pkey", detail: "d" });
  expect(error).toBeInstanceOf(ConstraintError);
  expect(error).toMatchObject({ name: "ConstraintError", code: "23505", constraint: "t_pkey", detail: "d" });
  expect(TidelogError.from({ code: "42P01", message: "" })).toBeInstanceOf(StatementError);
  expect(TidelogError.from({ code: "57P01", message: "" })).toBeInstanceOf(ConnectionError);
  // It will not go away by being sent again.
  expect(TidelogError.from({ code: "08P01", message: "" }).constructor).toBe(TidelogError);
  expect(TidelogError.from({ code: "XX000", message: "" }).constructor).toBe(TidelogError);
});

test("parameters travel without loss", () => {
  expect(encodeParam(undefined)).toBe(null);
  expect(encodeParam(9007199254740993n)).toBe("9007199254740993");
  expect(encodeParam(SeqId.from("5"))).toBe("5");
  expect(encodeParam(NaN)).toBe("NaN");
  expect(encodeParam(new Date(0))).toBe("1970-01-01T00:00:00.000Z");
  expect(encodeParam(new Uint8Array([0, 255]))).toBe("\\x00ff");
  expect(encodeParam({ a: [1] })).toEqual({ a: [1] });
});

test("parameters travel without loss inside of arrays and objects", () => {
  expect(encodeParam([1n, 2, "3", null, undefined])).toEqual(["1", 2, "3", null, null]);
  expect(encodeParam(new Array(2))).toEqual([null, null]);
  expect(encodeParam([NaN, -Infinity, 0.5])).toEqual(["NaN", "-Infinity", 0.5]);
  expect(encodeParam([new Uint8Array([1, 254])])).toEqual(["\\x01fe"]);
  expect(encodeParam([[1n], [new Date(0)]])).toEqual([["1"], ["1970-01-01T00:00:00.000Z"]]);
  expect(encodeParam({ a: 1n, b: [{ c: SeqId.from("7") }], d: undefined, e: () => 1 })).toEqual({ a: "1", b: [{ c: "7" }] });
  expect(encodeParam({ toJSON: () => [1n] })).toEqual(["1"]);
  expect(JSON.stringify(encodeParam(JSON.parse('{"__proto__":1}')))).toBe('{"__proto__":1}');
  const twice = { x: 1 };
  expect(encodeParam([twice, twice])).toEqual([twice, twice]);
});

test("times outside of the years of four digits travel as PostgreSQL writes them, in documents as JavaScript does", () => {
  expect(encodeParam(new Date(8.64e15))).toBe("275760-09-13T00:00:00.000Z");
  expect(encodeParam([new Date(Date.UTC(10_000, 0, 1))])).toEqual(["10000-01-01T00:00:00.000Z"]);
  expect(encodeParam(new Date("0000-03-15T12:00:00Z"))).toBe("0001-03-15T12:00:00.000Z BC");
  expect(encodeParam(new Date("-000043-03-15T00:00:00Z"))).toBe("0044-03-15T00:00:00.000Z BC");
  expect(encodeParam({ at: new Date("-000043-03-15T00:00:00Z") })).toEqual({ at: "-000043-03-15T00:00:00.000Z" });
});

describe("what cannot travel is a typed error", () => {
  const cyclic: unknown[] = [];
  cyclic.push({ cyclic });
  let deep: unknown[] = [];
  for (let n = 0; n < 100_000; n++) deep = [deep];
  const failing = {
    toJSON() {
      throw new Error("not today");
    },
  };
  test.each<[string, string, unknown]>([
    ["22021", "half an emoji", "hello 😀".slice(0, 7)],
    ["22021", "half an emoji in an array", ["😀".slice(1)]],
    ["22021", "half an emoji as a name", { ["😀".slice(1)]: 1 }],
    ["22007", "no time", new Date(NaN)],
    ["22007", "no time in a document", { at: [new Date(NaN)] }],
    ["22P02", "a cycle", cyclic],
    ["22P02", "a function", () => 1],
    ["22P02", "a symbol", [Symbol("s")]],
    ["22P02", "what fails", failing],
    ["54001", "what is nested too deep", deep],
  ])("%s: %s", (code, _, value) => {
    const encode = () => encodeParams([1, value as Param]);
    expect(encode).toThrow(expect.objectContaining({ code, message: expect.stringMatching(/^parameter \$2: ./) }));
    expect(encode).toThrow(code === "54001" ? TidelogError : DataError);
  });
});

test("a column may have any name", () => {
  const columns = ["id", "__proto__", "constructor"].map((name) => ({ name, type: "text" }));
  const row = toObject<Record<string, unknown>>(columns, [1, 2, 3]);
  expect(Object.keys(row)).toEqual(["id", "__proto__", "constructor"]);
  expect(Object.getPrototypeOf(row)).toBe(Object.prototype);
});

describe("LiveRows", () => {
  interface Row {
    id: number;
    body: string;
  }
  type Brief = [op: Change<Row>["op"], row?: [number, string], old?: [number, string]];

  /** A batch whose last change ends a transaction if `whole`. */
  function batch(changes: Brief[], whole = true, key: string[] | null = ["id"]): ChangeBatch<Row> {
    const row = (values?: [number, string]) => values && { id: values[0], body: values[1] };
    const seq = SeqId.from("1");
    return {
      changes: changes.map(([op, now, old]) => ({ op, seq, commit: whole, row: row(now), old: row(old) }) as Change<Row>),
      seq,
      whole,
      columns: [],
      key,
    };
  }
  const brief = (rows: Row[] | undefined) => rows?.map(({ id, body }) => `${id}${body}`).join(" ");

  test("shows nothing before ready, then each transaction as a whole", () => {
    const rows = new LiveRows<Row>();
    expect(rows.apply(batch([["snapshot", [1, "a"]], ["snapshot", [2, "b"]]], false))).toBeUndefined();
    expect(brief(rows.apply(batch([["ready"]])))).toBe("1a 2b");
    expect(rows.apply(batch([["insert", [3, "c"]]], false))).toBeUndefined();
    expect(brief(rows.apply(batch([["delete", [1, "a"]]])))).toBe("2b 3c");
  });

  test("keeps a changed row in its place, also under another key", () => {
    const rows = new LiveRows<Row>();
    rows.apply(batch([["snapshot", [1, "a"]], ["snapshot", [2, "b"]], ["snapshot", [3, "c"]], ["ready"]]));
    expect(brief(rows.apply(batch([["update", [1, "A"], [1, "a"]]])))).toBe("1A 2b 3c");
    expect(brief(rows.apply(batch([["update", [9, "B"], [2, "b"]]])))).toBe("1A 9B 3c");
    expect(brief(rows.apply(batch([["upsert", [3, "C"]], ["upsert", [4, "d"]]])))).toBe("1A 9B 3C 4d");
  });

  test("replaces its rows after a reset, once the new ones are complete", () => {
    const rows = new LiveRows<Row>();
    rows.apply(batch([["snapshot", [1, "a"]], ["ready"]]));
    const reset = { ...batch([]), reset: TidelogError.from({ code: "55000", message: "" }) };
    expect(rows.apply(reset)).toBeUndefined();
    expect(rows.apply(batch([["snapshot", [2, "b"]]], false))).toBeUndefined();
    expect(brief(rows.apply(batch([["ready"]])))).toBe("2b");
  });

  test("forgets half a transaction that a reset cuts off", () => {
    const rows = new LiveRows<Row>();
    rows.apply(batch([["ready"]]));
    rows.apply(batch([["insert", [1, "a"]]], false));
    rows.apply({ ...batch([]), reset: TidelogError.from({ code: "55000", message: "" }) });
    expect(brief(rows.apply(batch([["ready"]])))).toBe("");
  });

  test("keeps equal rows apart where there is no key", () => {
    const rows = new LiveRows<Row>();
    const apply = (...changes: Brief[]) => brief(rows.apply(batch(changes, true, null)));
    apply(["snapshot", [1, "a"]], ["snapshot", [1, "a"]], ["ready"]);
    expect(apply(["insert", [1, "a"]], ["insert", [2, "b"]])).toBe("1a 1a 1a 2b");
    expect(apply(["delete", [1, "a"]])).toBe("1a 1a 2b");
    expect(apply(["update", [2, "b"], [1, "a"]])).toBe("1a 2b 2b");
    expect(apply(["delete", [1, "a"]], ["delete", [2, "b"]], ["delete", [2, "b"]])).toBe("");
  });

  test("takes its time by the changes, not by the rows", () => {
    const count = 30_000;
    const ids = Array.from({ length: count }, (_, id) => id);
    const begun = Date.now();
    const equal = new LiveRows<Row>();
    const bag = (changes: Brief[]) => equal.apply(batch(changes, true, null));
    expect(bag([...ids.map((): Brief => ["snapshot", [1, "a"]]), ["ready"]])?.length).toBe(count);
    expect(bag(ids.map((): Brief => ["update", [2, "b"], [1, "a"]]))?.every(({ id }) => id === 2)).toBe(true);
    expect(bag(ids.map((): Brief => ["delete", [2, "b"]]))).toEqual([]);

    const rows = new LiveRows<Row>();
    rows.apply(batch([...ids.map((id): Brief => ["snapshot", [id, "a"]]), ["ready"]]));
    const moved = rows.apply(batch(ids.map((id): Brief => ["update", [id + count, "b"], [id, "a"]])));
    expect(moved?.map(({ id }) => id)).toEqual(ids.map((id) => id + count));
    // Of what grows with the square, it took minutes.
    expect(Date.now() - begun).toBeLessThan(5000);
  });

  test("a row that takes over another's key takes its place from it", () => {
    const rows = new LiveRows<Row>();
    rows.apply(batch([["snapshot", [1, "a"]], ["snapshot", [2, "b"]], ["snapshot", [3, "c"]], ["ready"]]));
    expect(brief(rows.apply(batch([["delete", [2, "b"]], ["update", [2, "c"], [3, "c"]], ["insert", [3, "d"]]])))).toBe(
      "1a 2c 3d",
    );
    expect(brief(rows.apply(batch([["update", [2, "A"], [1, "a"]]])))).toBe("2A 3d");
    expect(brief(rows.apply(batch([["insert", [2, "B"]], ["delete", [3, "d"]]])))).toBe("2B");
  });

  test("with the newest rows only, older ones do not come in by being changed", () => {
    const rows = new LiveRows<Row>(true);
    rows.apply(batch([["snapshot", [8, "h"]], ["ready"]]));
    expect(brief(rows.apply(batch([["update", [1, "A"], [1, "a"]], ["insert", [9, "i"]]])))).toBe("8h 9i");
  });
});
