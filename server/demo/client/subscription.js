import { TidelogError } from "./errors.js";
import { SeqId } from "./seq.js";
import { toObject } from "./values.js";
/** Batches that the server may send ahead of the handler. */
const CREDIT = 8;
/**
 * Follows a SUBSCRIBE through lost connections. Batches reach the handler one by one: while it works on one (its promise
 * is pending), the server sends at most a few more.
 */
export class Subscription {
    #connection;
    #id;
    #sql;
    #params;
    #handler;
    #options;
    #columns = [];
    #key = null;
    /** Behind the newest batch that was received. */
    #from;
    /** Whether rows were received that a new start would repeat. */
    #begun = false;
    #ended = false;
    /** Whether the present connection's server has said anything about it. */
    #answered = false;
    /** Counts connections: what belongs to an earlier one earns no credit. */
    #epoch = 0;
    #work = Promise.resolve();
    /** `params` are encoded. */
    constructor(connection, id, sql, params, options, handler) {
        this.#connection = connection;
        this.#id = id;
        this.#sql = sql;
        this.#params = params;
        this.#handler = handler;
        this.#options = options;
        if (options.from !== undefined)
            this.#from = SeqId.from(options.from);
    }
    /** Ends it; the handler is not called any more. */
    end() {
        if (this.#ended)
            return;
        this.#ended = true;
        this.#connection.send({ type: "unsubscribe", id: this.#id });
        this.#connection.leave(this.#id);
    }
    online() {
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
    offline(why) {
        // Cut off in the middle of the rows as they stand: they come again.
        if (this.#begun && this.#from === undefined)
            this.#reset(why);
    }
    misunderstood(why) {
        if (!this.#answered)
            this.fail(why);
    }
    fail(error) {
        if (this.#ended)
            return;
        this.#ended = true;
        this.#connection.leave(this.#id);
        // Who closed the client knows.
        if (this.#connection.status === "closed")
            return;
        this.#then(() => {
            if (!this.#options.onError)
                throw error;
            this.#options.onError(error);
        });
    }
    receive(frame) {
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
                if (frame.seq !== undefined)
                    this.#from = SeqId.from(frame.seq);
                const changes = frame.changes.map((change) => this.#decode(change));
                this.#deliver({ changes, whole: changes.at(-1)?.commit ?? false });
                break;
            }
            case "done":
                this.#connection.leave(this.#id);
                this.#then(() => {
                    if (!this.#ended)
                        this.#options.onEnd?.();
                    this.#ended = true;
                });
                break;
            case "error":
                // A server that stops says so to each, and closes. It goes on when there is one again.
                if (!frame.error.code.startsWith("57P"))
                    this.fail(TidelogError.from(frame.error));
        }
    }
    #reset(reset) {
        this.#begun = false;
        this.#from = undefined;
        this.#deliver({ changes: [], whole: true, reset });
    }
    #decode({ op, seq: text, row, old, commit = false }) {
        const head = { seq: SeqId.from(text), commit };
        const object = (values = []) => toObject(this.#columns, values);
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
    #deliver(part) {
        const batch = { ...part, seq: this.#from, columns: this.#columns, key: this.#key };
        const epoch = this.#epoch;
        this.#then(async () => {
            if (this.#ended)
                return;
            try {
                await this.#handler(batch);
            }
            finally {
                if (!part.reset && epoch === this.#epoch) {
                    this.#connection.send({ type: "credit", id: this.#id, batches: 1 });
                }
            }
        });
    }
    /** One after the other; what a handler throws is reported and stops nothing. */
    #then(step) {
        this.#work = this.#work.then(step).catch((error) => {
            setTimeout(() => {
                throw error;
            });
        });
    }
}
