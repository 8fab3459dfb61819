import type { ChangeBatch } from "./subscription.js";

/**
 * The rows of a subscription as they stand, by primary key: in the order in which they came, a changed row in its old
 * place. It changes by whole transactions only.
 */
export class LiveRows<Row> {
  #rows = new Map<string, Row>();
  /** What will take their place once it is complete. */
  #fresh: Map<string, Row> | undefined = new Map();
  /** Batches of a transaction that is not complete yet. */
  #pending: ChangeBatch<Row>[] = [];
  readonly #newestOnly: boolean;

  /** `newestOnly` is whether it began with the newest rows: changes of rows before them do not concern it. */
  constructor(newestOnly = false) {
    this.#newestOnly = newestOnly;
  }

  /** Takes a batch in. Gives the rows if they may have changed and are those of one moment. */
  apply(batch: ChangeBatch<Row>): Row[] | undefined {
    if (batch.reset) {
      this.#fresh = new Map();
      this.#pending = [];
      return undefined;
    }
    this.#pending.push(batch);
    // Rows as they stand are all of one moment: they need not be kept apart until it is over.
    if (!batch.whole && !this.#fresh) return undefined;
    for (const pending of this.#pending) this.#take(pending);
    this.#pending = [];
    return batch.whole && !this.#fresh ? [...this.#rows.values()] : undefined;
  }

  #take({ changes, key }: ChangeBatch<Row>): void {
    for (const change of changes) {
      const rows = this.#fresh ?? this.#rows;
      switch (change.op) {
        case "ready":
          if (this.#fresh) this.#rows = this.#fresh;
          this.#fresh = undefined;
          break;
        case "snapshot":
        case "insert":
          rows.set(free(rows, change.row, key), change.row);
          break;
        case "upsert":
          rows.set(keyOf(change.row, key), change.row);
          break;
        case "update": {
          const id = taken(rows, change.old ?? change.row, key);
          const now = key ? keyOf(change.row, key) : free(rows, change.row, key);
          if (!rows.has(id) && this.#newestOnly) break;
          if (now === id || !rows.has(id)) rows.set(now, change.row);
          else replace(rows, id, now, change.row);
          break;
        }
        case "delete":
          rows.delete(taken(rows, change.row, key));
      }
    }
  }
}

function keyOf<Row>(row: Row, key: string[] | null): string {
  const members = row as Record<string, unknown>;
  return JSON.stringify(key ? key.map((name) => members[name]) : row);
}

/**
 * Under which name a row that comes is kept. Without a primary key equal rows may stand beside each other, and are
 * numbered without gaps: which of them goes later does not matter.
 */
function free<Row>(rows: Map<string, Row>, row: Row, key: string[] | null): string {
  const id = keyOf(row, key);
  return key || !rows.has(id) ? id : `${id}#${numbered(rows, id) + 1}`;
}

/** Under which name a row that goes is kept: of equal ones the last. */
function taken<Row>(rows: Map<string, Row>, row: Row, key: string[] | null): string {
  const id = keyOf(row, key);
  const last = key ? 0 : numbered(rows, id);
  return last > 0 ? `${id}#${last}` : id;
}

function numbered<Row>(rows: Map<string, Row>, id: string): number {
  let n = 0;
  while (rows.has(`${id}#${n + 1}`)) n++;
  return n;
}

/** Puts a row with a new key in the place of the old one. */
function replace<Row>(rows: Map<string, Row>, id: string, now: string, row: Row): void {
  const entries = [...rows];
  rows.clear();
  for (const [each, value] of entries) {
    if (each === id) rows.set(now, row);
    else if (each !== now) rows.set(each, value);
  }
}
