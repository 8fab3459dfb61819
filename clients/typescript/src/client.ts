import type { AuthProvider } from "./auth.js";
import { Connection, type ConnectionOptions, type Status } from "./connection.js";
import { ConnectionError, TidelogError } from "./errors.js";
import { LiveRows } from "./live.js";
import { query, type QueryOptions, type QueryResult, Turnstile } from "./query.js";
import { SeqId } from "./seq.js";
import { type ChangeBatch, type SubscribeOptions, Subscription } from "./subscription.js";
import { checkText, encodeParams, type Param } from "./values.js";

export interface ClientOptions extends Omit<ConnectionOptions, "authProvider"> {
  /** Where the server's HTTP is: `http://127.0.0.1:8080`. */
  url: string;
  /** Gives the credentials for a connection that is about to be made. */
  authProvider: AuthProvider;
}

export interface LiveOptions {
  subscriptionOptions?: Pick<SubscribeOptions, "last_rows" | "from">;
  params?: readonly Param[];
  signal?: AbortSignal;
  onError?: (error: TidelogError) => void;
}

/** What the rows given to a live query's callback stand for. */
export interface LiveInfo {
  /** They contain everything up to here: a later subscription may go on `from` it. */
  seq: SeqId;
}

interface Events {
  /** The connection stands. */
  online: () => void;
  /** It was lost, or the first one failed; a new one is on its way. Attempts that fail meanwhile are told by `status`. */
  offline: (why: TidelogError | undefined) => void;
  /** Any change of the status, with the reason where it went offline. */
  status: (status: Status, why: TidelogError | undefined) => void;
}

/** A client of one server as one role. */
export class Client {
  readonly #connection: Connection;
  readonly #turnstile = new Turnstile();

  constructor(options: ClientOptions) {
    this.#connection = new Connection(options);
  }

  /** `idle` before the first use, then `connecting`, `online` or `offline`, and in the end `closed`. */
  get status(): Status {
    return this.#connection.status;
  }

  /** Calls the handler at each such event. Gives the function that ends it. */
  on<Name extends keyof Events>(event: Name, handler: Events[Name]): () => void {
    let known: Status | undefined;
    return this.#connection.onStatus((status, why) => {
      const again = status === known;
      if (status !== "connecting") known = status;
      if (event === "status") (handler as Events["status"])(status, why);
      else if (event === status && !again) (handler as Events["offline"])(why);
    });
  }

  /**
   * Runs one statement, `$1`, `$2`, … being the parameters. bigint and numeric come as strings. Waits for a connection,
   * at most `connectTimeoutMs`: then a `ConnectionError` with code 08001 says why there is none. When it is lost after
   * the statement was sent, one with code 08007 says that nobody knows whether it took effect. A parameter that cannot
   * be sent is a `DataError`.
   */
  async query<Row = Record<string, unknown>>(
    sql: string,
    params: readonly Param[] = [],
    options: QueryOptions = {},
  ): Promise<QueryResult<Row>> {
    const asked = Date.now();
    checkText(sql);
    const encoded = encodeParams(params);
    await this.#turnstile.enter(options.signal);
    try {
      return await query<Row>(this.#connection, sql, encoded, options, asked);
    } finally {
      this.#turnstile.leave();
    }
  }

  /**
   * Keeps the rows of a `SELECT … FROM table [WHERE …]` or a `SUBSCRIBE …` up to date: the callback gets all of them,
   * first as they stand and then after each change, whole transactions at a time. Gives the function that ends it.
   */
  live<Row = Record<string, unknown>>(
    sql: string,
    onRows: (rows: Row[], info: LiveInfo) => void,
    options: LiveOptions = {},
  ): () => void {
    const { subscriptionOptions, ...rest } = options;
    const rows = new LiveRows<Row>(subscriptionOptions?.last_rows !== undefined);
    return this.subscribe<Row>(
      sql,
      (batch) => {
        const present = rows.apply(batch);
        if (present && batch.seq) onRows(present, { seq: batch.seq });
      },
      { ...subscriptionOptions, ...rest },
    );
  }

  /**
   * Follows the changes themselves, each once and in commit order, through lost connections. The next batch waits until
   * the handler's promise is settled. Gives the function that ends it.
   */
  subscribe<Row = Record<string, unknown>>(
    sql: string,
    onBatch: (batch: ChangeBatch<Row>) => void | Promise<void>,
    options: SubscribeOptions = {},
  ): () => void {
    const { signal, onError } = options;
    if (signal?.aborted) return () => {};
    let subscription: Subscription<Row> | undefined;
    const { last_rows } = options;
    if (last_rows !== undefined && !(Number.isSafeInteger(last_rows) && last_rows >= 0)) {
      throw new TypeError("last_rows is a number of rows");
    }
    let ended = false;
    const end = (): void => {
      ended = true;
      signal?.removeEventListener("abort", end);
      subscription?.end();
    };
    signal?.addEventListener("abort", end);
    try {
      checkText(sql);
      const params = encodeParams(options.params ?? []);
      this.#connection.join((id) => {
        subscription = new Subscription<Row>(this.#connection, id, statement(sql), params, options, onBatch);
        return subscription;
      });
    } catch (error) {
      if (!(error instanceof TidelogError) || error instanceof ConnectionError) throw error;
      // Later and to its handler, as what the server says.
      queueMicrotask(() => {
        if (ended) return;
        if (!onError) throw error;
        onError(error);
      });
    }
    return end;
  }

  /** Ends the connection. What runs fails with a `ConnectionError`; live queries end silently. */
  close(): void {
    this.#connection.close();
  }
}

/** The SUBSCRIBE that a live query means. `last_rows` and `from` travel beside it. */
function statement(sql: string): string {
  const bare = sql.trim().replace(/;$/, "");
  return /^subscribe\b/i.test(bare.slice(comments(bare))) ? bare : `SUBSCRIBE TO (${bare}\n)`;
}

/** How many characters of spaces and comments the SQL begins with. */
function comments(sql: string): number {
  let at = 0;
  // Comments of this kind stand in one another.
  let depth = 0;
  while (at < sql.length) {
    const token = sql.slice(at, at + 2);
    if (token === "/*" || (token === "*/" && depth > 0)) {
      depth += token === "/*" ? 1 : -1;
      at += 2;
    } else if (depth === 0 && token === "--") {
      at += /[\n\r]|$/.exec(sql.slice(at))?.index ?? 0;
    } else if (depth > 0 || /^\s/.test(token)) {
      at++;
    } else {
      break;
    }
  }
  return at;
}

/** Makes a client. It connects when it is first used. */
export function createClient(options: ClientOptions): Client {
  return new Client(options);
}
