import { DataError, TidelogError } from "./errors.js";
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

/** Parameters as they travel. A `TidelogError` says which of them cannot. */
export function encodeParams(params: readonly Param[]): unknown[] {
  return Array.from(params, (param, index) => {
    try {
      return encodeParam(param);
    } catch (error) {
      throw refused(error, `parameter $${index + 1}`);
    }
  });
}

/** A parameter as it travels: nothing that JSON or the server would read differently, inside arrays and objects, too. */
export function encodeParam(value: Param): unknown {
  return encode(value, []);
}

/** Refuses text that is no Unicode, such as one that was cut inside of an emoji: no encoding has it. */
export function checkText(text: string): void {
  if (/\p{Surrogate}/u.test(text)) {
    throw new DataError({ code: "22021", message: "invalid text: half of a surrogate pair stands alone" });
  }
}

/** `around` are the arrays and objects that the value stands in. */
function encode(value: unknown, around: readonly object[]): unknown {
  switch (typeof value) {
    case "undefined":
      return null;
    case "boolean":
      return value;
    case "string":
      checkText(value);
      return value;
    case "number":
      return Number.isFinite(value) ? value : String(value);
    case "bigint":
      return value.toString();
    case "object":
      break;
    default:
      throw unfit(`a ${typeof value} is no value`);
  }
  if (value === null) return null;
  if (value instanceof SeqId) return value.toString();
  const inDocument = around.some((container) => !Array.isArray(container));
  if (value instanceof Date) return inDocument ? iso(value) : timestamp(value);
  if (value instanceof Uint8Array) {
    return "\\x" + Array.from(value, (byte) => byte.toString(16).padStart(2, "0")).join("");
  }
  if (around.includes(value)) throw unfit("it contains itself");
  const within = [...around, value];
  // As JSON has it: an object may say what stands for it, and members without a value are left out.
  if ("toJSON" in value && typeof value.toJSON === "function") return encode(value.toJSON(), within);
  // Not `map`, which leaves holes.
  if (Array.isArray(value)) return Array.from(value, (element) => encode(element, within));
  const members = Object.entries(value).filter(([, member]) => member !== undefined && typeof member !== "function");
  members.forEach(([name]) => checkText(name));
  return Object.fromEntries(members.map(([name, member]) => [name, encode(member, within)]));
}

function unfit(message: string): DataError {
  return new DataError({ code: "22P02", message });
}

function iso(date: Date): string {
  if (Number.isNaN(date.getTime())) throw new DataError({ code: "22007", message: "an invalid Date is no time" });
  return date.toISOString();
}

/** A time as PostgreSQL writes it, whose years have no sign. */
function timestamp(date: Date): string {
  const text = iso(date);
  const year = date.getUTCFullYear();
  if (year >= 1 && year <= 9999) return text;
  const rest = text.slice(-"-01-01T00:00:00.000Z".length);
  // There is no year 0 between the eras.
  return year > 0 ? `${year}${rest}` : `${String(1 - year).padStart(4, "0")}${rest} BC`;
}

/** The error with the name of what it is about. */
function refused(error: unknown, what: string): TidelogError {
  if (error instanceof TidelogError) return TidelogError.from({ code: error.code, message: `${what}: ${error.message}` });
  // Nested beyond measure; or its own toJSON or member failed.
  const code = error instanceof RangeError ? "54001" : "22P02";
  const fields = { code, message: `${what}: ${error instanceof Error ? error.message : String(error)}` };
  const told = TidelogError.from(fields);
  told.cause = error;
  return told;
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
