import type { Credentials } from "./auth.js";
import type { ErrorFields } from "./errors.js";

/** The version of docs/protocol.md that is spoken here. */
export const VERSION = 1;

/** A column of a result. */
export interface Column {
  name: string;
  /** As PostgreSQL names it: `bigint`, `character varying(20)`. */
  type: string;
}

/** A change as it travels; `row` and `old` are in the order of the columns. */
export interface WireChange {
  op: "snapshot" | "ready" | "progress" | "insert" | "update" | "delete" | "upsert";
  seq: string;
  row?: unknown[];
  old?: unknown[];
  /** Its transaction is complete with it. */
  commit?: boolean;
}

export type ClientFrame =
  | { type: "hello"; version: number; auth: Credentials; database?: string; compression?: "deflate" }
  | { type: "query"; id: number; sql: string; params: unknown[] }
  | { type: "subscribe"; id: number; sql: string; params: unknown[]; from?: string; last_rows?: number; credit: number }
  | { type: "credit"; id: number; batches: number }
  | { type: "unsubscribe"; id: number }
  | { type: "cancel"; id: number }
  | { type: "ping" };

export type SubscriptionFrame =
  | { type: "subscribed"; id: number; columns: Column[]; key: string[] | null; snapshot: boolean }
  | { type: "batch"; id: number; changes: WireChange[]; seq?: string }
  | { type: "reset"; id: number; reason: ErrorFields }
  | { type: "unsubscribed"; id: number };

export type QueryFrame =
  | { type: "columns"; id: number; columns: Column[] }
  | { type: "rows"; id: number; rows: unknown[][] }
  | { type: "done"; id: number; tag?: string; notices?: ErrorFields[] };

export type ServerFrame =
  | {
      type: "welcome";
      version: number;
      user: string;
      server: string;
      compression?: string;
      limits: Record<string, number>;
    }
  | SubscriptionFrame
  | QueryFrame
  | { type: "error"; id?: number; error: ErrorFields }
  | { type: "pong" };
