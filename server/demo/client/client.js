import { Connection } from "./connection.js";
import { LiveRows } from "./live.js";
import { query, Turnstile } from "./query.js";
import { SeqId } from "./seq.js";
import { Subscription } from "./subscription.js";
/** A client of one server as one role. */
export class Client {
    #connection;
    #turnstile = new Turnstile();
    constructor(options) {
        this.#connection = new Connection(options);
    }
    /** `idle` before the first use, then `connecting`, `online` or `offline`, and in the end `closed`. */
    get status() {
        return this.#connection.status;
    }
    /** Calls the handler at each such event. Gives the function that ends it. */
    on(event, handler) {
        let known;
        return this.#connection.onStatus((status, why) => {
            const again = status === known;
            if (status !== "connecting")
                known = status;
            if (event === "status")
                handler(status, why);
            else if (event === status && !again)
                handler(why);
        });
    }
    /**
     * Runs one statement, `$1`, `$2`, … being the parameters. bigint and numeric come as strings. Waits for a connection,
     * at most `connectTimeoutMs`: then a `ConnectionError` with code 08001 says why there is none. When it is lost after
     * the statement was sent, one with code 08007 says that nobody knows whether it took effect.
     */
    async query(sql, params = [], options = {}) {
        const asked = Date.now();
        await this.#turnstile.enter(options.signal);
        try {
            return await query(this.#connection, sql, params, options, asked);
        }
        finally {
            this.#turnstile.leave();
        }
    }
    /**
     * Keeps the rows of a `SELECT … FROM table [WHERE …]` or a `SUBSCRIBE …` up to date: the callback gets all of them,
     * first as they stand and then after each change, whole transactions at a time. Gives the function that ends it.
     */
    live(sql, onRows, options = {}) {
        const { subscriptionOptions, ...rest } = options;
        const rows = new LiveRows(subscriptionOptions?.last_rows !== undefined);
        return this.subscribe(sql, (batch) => {
            const present = rows.apply(batch);
            if (present && batch.seq)
                onRows(present, { seq: batch.seq });
        }, { ...subscriptionOptions, ...rest });
    }
    /**
     * Follows the changes themselves, each once and in commit order, through lost connections. The next batch waits until
     * the handler's promise is settled. Gives the function that ends it.
     */
    subscribe(sql, onBatch, options = {}) {
        const { signal } = options;
        if (signal?.aborted)
            return () => { };
        let subscription;
        const { last_rows } = options;
        if (last_rows !== undefined && !(Number.isSafeInteger(last_rows) && last_rows >= 0)) {
            throw new TypeError("last_rows is a number of rows");
        }
        this.#connection.join((id) => {
            subscription = new Subscription(this.#connection, id, statement(sql), options, onBatch);
            return subscription;
        });
        const end = () => {
            signal?.removeEventListener("abort", end);
            subscription?.end();
        };
        signal?.addEventListener("abort", end);
        return end;
    }
    /** Ends the connection. What runs fails with a `ConnectionError`; live queries end silently. */
    close() {
        this.#connection.close();
    }
}
/** The SUBSCRIBE that a live query means. `last_rows` and `from` travel beside it. */
function statement(sql) {
    const bare = sql.trim().replace(/;$/, "");
    return /^subscribe\b/i.test(bare) ? bare : `SUBSCRIBE TO (${bare}\n)`;
}
/** Makes a client. It connects when it is first used. */
export function createClient(options) {
    return new Client(options);
}
