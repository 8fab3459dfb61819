import type { Connection, Participant } from "./connection.js";
import { CanceledError, ConnectionError, type ErrorFields, TidelogError } from "./errors.js";
import type { Column, ServerFrame } from "./protocol.js";
import { toObject } from "./values.js";

/** What a statement gave. */
export interface QueryResult<Row> {
  rows: Row[];
  columns: Column[];
  /** PostgreSQL's: `SELECT 3`, `INSERT 0 1`. */
  tag: string;
  /** The number in the tag: rows that were given or changed. */
  rowCount: number;
  notices: ErrorFields[];
}

export interface QueryOptions {
  /** Cancels the statement. */
  signal?: AbortSignal | undefined;
}

/** Statements that run at once; the server allows a few more. */
const STATEMENTS_MAX = 16;

/** Lets so many statements run at once and keeps the others in order. */
export class Turnstile {
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  /** Waits for a turn; a `CanceledError` once the signal aborts. */
  async enter(signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) throw aborted(signal);
    if (this.#running < STATEMENTS_MAX) {
      this.#running++;
      return;
    }
    await new Promise<void>((resolve, reject) => {
      const go = (): void => {
        signal?.removeEventListener("abort", abort);
        resolve();
      };
      const abort = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(go), 1);
        reject(aborted(signal));
      };
      this.#waiting.push(go);
      signal?.addEventListener("abort", abort, { once: true });
    });
  }

  leave(): void {
    const next = this.#waiting.shift();
    if (next) next();
    else this.#running--;
  }
}

/** The longest time of a timer. */
const TIMER_MS_MAX = 2 ** 31 - 1;

/**
 * Runs a statement with encoded parameters. Since `asked` (as `Date.now()`) it waits for a connection, as long as that has patience; once it was
 * sent, losing the connection is an error.
 */
export function query<Row>(
  connection: Connection,
  sql: string,
  params: unknown[],
  { signal }: QueryOptions,
  asked: number,
): Promise<QueryResult<Row>> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(aborted(signal));
      return;
    }
    let columns: Column[] = [];
    const rows: Row[] = [];
    let sent = false;
    const end = (settle: () => void): void => {
      signal?.removeEventListener("abort", abort);
      clearTimeout(patience);
      connection.leave(id);
      settle();
    };
    const abort = (): void => {
      // Sent, its outcome is told all the same: it may have been quicker.
      if (sent) connection.send({ type: "cancel", id });
      else end(() => reject(aborted(signal)));
    };
    const participant = (own: number): Participant => ({
      online() {
        sent = true;
        clearTimeout(patience);
        connection.send({ type: "query", id: own, sql, params });
      },
      offline(why) {
        if (!sent) return;
        const fields = {
          code: "08007",
          message: `${why.message}; whether the statement took effect is not known`,
        };
        end(() => reject(new ConnectionError(fields)));
      },
      // It is lost in a moment, and nobody knows what the server had read before.
      misunderstood() {},
      receive(frame: ServerFrame) {
        switch (frame.type) {
          case "columns":
            columns = frame.columns;
            break;
          case "rows":
            for (const row of frame.rows) rows.push(toObject<Row>(columns, row));
            break;
          case "done": {
            const { tag = "", notices = [] } = frame;
            const rowCount = Number(/[0-9]+$/.exec(tag)?.[0] ?? 0);
            end(() => resolve({ rows, columns, tag, rowCount, notices }));
            break;
          }
          case "error":
            end(() => reject(TidelogError.from(frame.error)));
        }
      },
      fail(error) {
        end(() => reject(error));
      },
    });
    signal?.addEventListener("abort", abort);
    const left = connection.patience - (Date.now() - asked);
    const patience = setTimeout(() => end(() => reject(connection.unreachable())), Math.min(left, TIMER_MS_MAX));
    let id = 0;
    try {
      id = connection.join((own) => {
        id = own;
        return participant(own);
      });
    } catch (error) {
      end(() => reject(error));
    }
  });
}

function aborted(signal: AbortSignal | undefined): CanceledError {
  const error = new CanceledError({ code: "57014", message: "the statement was aborted before it was sent" });
  error.cause = signal?.reason;
  return error;
}
