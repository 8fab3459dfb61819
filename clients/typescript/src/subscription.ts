import type { Connection, Participant } from "./connection.js";
import { type ConnectionError, TidelogError } from "./errors.js";
import type { Column, ServerFrame, WireChange } from "./protocol.js";
import { SeqId } from "./seq.js";
import { type Param, toObject } from "./values.js";

/** A change of one row, or a mark among them. `commit` is set on the last one of a transaction. */
export type Change<Row> = { seq: SeqId; commit: boolean } & (
  /** A row as it stands when the subscription begins. */
  | { op: "snapshot"; row: Row }
  /** Such rows are through; what follows came after `seq`. */
  | { op: "ready" }
  /** With the option `progress`: nothing up to `seq` is missing. */
  | { op: "progress" }
  | { op: "insert"; row: Row }
  | { op: "update"; row: Row; old: Row | undefined }
  /** `row` is the row that went. */
  | { op: "delete"; row: Row }
  /** With the option `envelope = 'upsert'`, instead of insert and update. */
  | { op: "upsert"; row: Row }
);

/** Changes in commit order. */
export interface ChangeBatch<Row> {
  changes: Change<Row>[];
  /** Where to go on behind this batch, as `from`; `undefined` until `ready`. */
  seq: SeqId | undefined;
  /** Whether the batch ends between two transactions. Inside one, the next batch goes on with it. */
  whole: boolean;
  columns: Column[];
  /** The primary key's columns, if the rows have one. */
  key: string[] | null;
  /** Set when everything that was delivered is void: forget it, the rows come anew from here on. */
  reset?: TidelogError;
}

export interface SubscribeOptions {
  /** Begin with the newest rows only. */
  last_rows?: number;
  /** Go on behind this position, without rows as they stand. */
  from?: SeqId | string | bigint;
  /** `$1`, `$2`, … of the statement. */
  params?: readonly Param[];
  /** Ends the subscription. */
  signal?: AbortSignal | undefined;
  /** The subscription came to the end that its option `up_to` says. */
  onEnd?: (() => void) | undefined;
  /** The subscription ended with this error. Without it the error is thrown where nobody catches it. */
  onError?: ((error: TidelogError) => void) | undefined;
}

/** Batches that the server may send ahead of the handler. */
const CREDIT = 8;

type BatchHandler<Row> = (batch: ChangeBatch<Row>) => void | Promise<void>;

/**
 * Follows a SUBSCRIBE through lost connections. Batches reach the handler one by one: while it works on one (its promise
 * is pending), the server sends at most a few more.
 */
export class Subscription<Row> implements Participant {
  readonly #connection: Connection;
  readonly #id: number;
  readonly #sql: string;
  readonly #params: unknown[];
  readonly #handler: BatchHandler<Row>;
  readonly #options: SubscribeOptions;
  #columns: Column[] = [];
  #key: string[] | null = null;
  /** Behind the newest batch that was received. */
  #from: SeqId | undefined;
  /** Whether rows were received that a new start would repeat. */
  #begun = false;
  #ended = false;
  /** Whether the present connection's server has said anything about it. */
  #answered = false;
  /** Counts connections: what belongs to an earlier one earns no credit. */
  #epoch = 0;
  #work: Promise<void> = Promise.resolve();

  /** `params` are encoded. */
  constructor(
    connection: Connection,
    id: number,
    sql: string,
    params: unknown[],
    options: SubscribeOptions,
    handler: BatchHandler<Row>,
  ) {
    this.#connection = connection;
    this.#id = id;
    this.#sql = sql;
    this.#params = params;
    this.#handler = handler;
    this.#options = options;
    if (options.from !== undefined) this.#from = SeqId.from(options.from);
  }

  /** Ends it; the handler is not called any more. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#connection.send({ type: "unsubscribe", id: this.#id });
    this.#connection.leave(this.#id);
  }

  online(): void {
    this.#epoch++;
    this.#answered = false;
    this.#connection.send({
      type: "subscribe",
      id: this.#id,
      sql: this.#sql,
      params: this.#params,
      ...(this.#from && { from: this.#from.toString() }),
      ...(this.#options.last_rows !== undefined && { last_rows: this.#options.last_rows }),
      credit: CREDIT,
    });
  }

  offline(why: ConnectionError): void {
    // Cut off in the middle of the rows as they stand: they come again.
    if (this.#begun && this.#from === undefined) this.#reset(why);
  }

  misunderstood(why: TidelogError): void {
    if (!this.#answered) this.fail(why);
  }

  fail(error: TidelogError): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#connection.leave(this.#id);
    // Who closed the client knows.
    if (this.#connection.status === "closed") return;
    this.#then(() => {
      if (!this.#options.onError) throw error;
      this.#options.onError(error);
    });
  }

  receive(frame: ServerFrame): void {
    this.#answered = true;
    switch (frame.type) {
      case "subscribed":
        this.#columns = frame.columns;
        this.#key = frame.key;
        break;
      case "reset":
        this.#reset(TidelogError.from(frame.reason));
        break;
      case "batch": {
        this.#begun = true;
        if (frame.seq !== undefined) this.#from = SeqId.from(frame.seq);
        const changes = frame.changes.map((change) => this.#decode(change));
        this.#deliver({ changes, whole: changes.at(-1)?.commit ?? false });
        break;
      }
      case "done":
        this.#connection.leave(this.#id);
        this.#then(() => {
          if (!this.#ended) this.#options.onEnd?.();
          this.#ended = true;
        });
        break;
      case "error":
        // A server that stops says so to each, and closes. It goes on when there is one again.
        if (!frame.error.code.startsWith("57P")) this.fail(TidelogError.from(frame.error));
    }
  }

  #reset(reset: TidelogError): void {
    this.#begun = false;
    this.#from = undefined;
    this.#deliver({ changes: [], whole: true, reset });
  }

  #decode({ op, seq: text, row, old, commit = false }: WireChange): Change<Row> {
    const head = { seq: SeqId.from(text), commit };
    const object = (values: unknown[] = []): Row => toObject<Row>(this.#columns, values);
    switch (op) {
      case "ready":
      case "progress":
        return { op, ...head };
      case "update":
        return { op, ...head, row: object(row), old: old && object(old) };
      default:
        return { op, ...head, row: object(row) };
    }
  }

  #deliver(part: Pick<ChangeBatch<Row>, "changes" | "whole" | "reset">): void {
    const batch = { ...part, seq: this.#from, columns: this.#columns, key: this.#key };
    const epoch = this.#epoch;
    this.#then(async () => {
      if (this.#ended) return;
      try {
        await this.#handler(batch);
      } finally {
        if (!part.reset && epoch === this.#epoch) {
          this.#connection.send({ type: "credit", id: this.#id, batches: 1 });
        }
      }
    });
  }

  /** One after the other; what a handler throws is reported and stops nothing. */
  #then(step: () => void | Promise<void>): void {
    this.#work = this.#work.then(step).catch((error: unknown) => {
      setTimeout(() => {
        throw error;
      });
    });
  }
}
