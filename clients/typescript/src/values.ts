import type { Column } from "./protocol.js";
import { SeqId } from "./seq.js";

/** What a parameter may be. `undefined` is NULL. */
export type Param =
  | string
  | number
  | bigint
  | boolean
  | null
  | undefined
  | Date
  | Uint8Array
  | SeqId
  | { [key: string]: unknown }
  | unknown[];

/** A parameter as it travels: nothing that JSON or the server would read differently. */
export function encodeParam(value: Param): unknown {
  if (value === undefined || value === null) return null;
  if (typeof value === "bigint" || value instanceof SeqId) return value.toString();
  if (typeof value === "number" && !Number.isFinite(value)) return String(value);
  if (value instanceof Date) return value.toISOString();
  if (value instanceof Uint8Array) {
    return "\\x" + Array.from(value, (byte) => byte.toString(16).padStart(2, "0")).join("");
  }
  return value;
}

/** A row as an object. Of columns with the same name the last one stays. */
export function toObject<Row>(columns: readonly Column[], values: readonly unknown[]): Row {
  const row: Record<string, unknown> = {};
  columns.forEach(({ name }, index) => {
    if (name === "__proto__") {
      // Assigned, it would not become a member.
      Object.defineProperty(row, name, { value: values[index], enumerable: true });
    } else {
      row[name] = values[index];
    }
  });
  return row as Row;
}
