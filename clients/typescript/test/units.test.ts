import { describe, expect, test } from "vitest";
import { ConnectionError, ConstraintError, SeqId, StatementError, TidelogError } from "../src/index.js";
import { LiveRows } from "../src/live.js";
import type { Change, ChangeBatch } from "../src/subscription.js";
import { encodeParam, toObject } from "../src/values.js";

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

  test("with the newest rows only, older ones do not come in by being changed", () => {
    const rows = new LiveRows<Row>(true);
    rows.apply(batch([["snapshot", [8, "h"]], ["ready"]]));
    expect(brief(rows.apply(batch([["update", [1, "A"], [1, "a"]], ["insert", [9, "i"]]])))).toBe("8h 9i");
  });
});
