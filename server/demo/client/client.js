import { Connection } from "./connection.js";
import { ConnectionError, TidelogError } from "./errors.js";
import { LiveRows } from "./live.js";
import { query, Turnstile } from "./query.js";
import { SeqId } from "./seq.js";
import { Subscription } from "./subscription.js";
import { checkText, encodeParams } from "./values.js";
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
     * the statement was sent, one with code 08007 says that nobody knows whether it took effect. A parameter that cannot
     * be sent is a `DataError`.
     */
    async query(sql, params = [], options = {}) {
        const asked = Date.now();
        checkText(sql);
        const encoded = encodeParams(params);
        await this.#turnstile.enter(options.signal);
        try {
            return await query(this.#connection, sql, encoded, options, asked);
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
        const { signal, onError } = options;
        if (signal?.aborted)
            return () => { };
        let subscription;
        const { last_rows } = options;
        if (last_rows !== undefined && !(Number.isSafeInteger(last_rows) && last_rows >= 0)) {
            throw new TypeError("last_rows is a number of rows");
        }
        let ended = false;
        const end = () => {
            ended = true;
            signal?.removeEventListener("abort", end);
            subscription?.end();
        };
        signal?.addEventListener("abort", end);
        try {
            checkText(sql);
            const params = encodeParams(options.params ?? []);
            this.#connection.join((id) => {
                subscription = new Subscription(this.#connection, id, statement(sql), params, options, onBatch);
                return subscription;
            });
        }
        catch (error) {
            if (!(error instanceof TidelogError) || error instanceof ConnectionError)
                throw error;
            // Later and to its handler, as what the server says.
            queueMicrotask(() => {
                if (ended)
                    return;
                if (!onError)
                    throw error;
                onError(error);
            });
        }
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
    return /^subscribe\b/i.test(bare.slice(comments(bare))) ? bare : `SUBSCRIBE TO (${bare}\n)`;
}
/** How many characters of spaces and comments the SQL begins with. */
function comments(sql) {
    let at = 0;
    // Comments of this kind stand in one another.
    let depth = 0;
    while (at < sql.length) {
        const token = sql.slice(at, at + 2);
        if (token === "/*" || (token === "*/" && depth > 0)) {
            depth += token === "/*" ? 1 : -1;
            at += 2;
        }
        else if (depth === 0 && token === "--") {
            at += /[\n\r]|$/.exec(sql.slice(at))?.index ?? 0;
        }
        else if (depth > 0 || /^\s/.test(token)) {
            at++;
        }
        else {
            break;
        }
    }
    return at;
}
/** Makes a client. It connects when it is first used. */
export function createClient(options) {
    return new Client(options);
}
