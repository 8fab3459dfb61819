/**
 * The rows of a subscription as they stand, by primary key: in the order in which they came, a changed row in its old
 * place. It changes by whole transactions only.
 */
export class LiveRows {
    #rows = new Places();
    /** What will take their place once it is complete. */
    #fresh = new Places();
    /** Batches of a transaction that is not complete yet. */
    #pending = [];
    #newestOnly;
    /** `newestOnly` is whether it began with the newest rows: changes of rows before them do not concern it. */
    constructor(newestOnly = false) {
        this.#newestOnly = newestOnly;
    }
    /** Takes a batch in. Gives the rows if they may have changed and are those of one moment. */
    apply(batch) {
        if (batch.reset) {
            this.#fresh = new Places();
            this.#pending = [];
            return undefined;
        }
        this.#pending.push(batch);
        // Rows as they stand are all of one moment: they need not be kept apart until it is over.
        if (!batch.whole && !this.#fresh)
            return undefined;
        for (const pending of this.#pending)
            this.#take(pending);
        this.#pending = [];
        return batch.whole && !this.#fresh ? this.#rows.all() : undefined;
    }
    #take({ changes, key }) {
        for (const change of changes) {
            const rows = this.#fresh ?? this.#rows;
            switch (change.op) {
                case "ready":
                    if (this.#fresh)
                        this.#rows = this.#fresh;
                    this.#fresh = undefined;
                    break;
                case "snapshot":
                case "insert":
                case "upsert":
                    rows.add(nameOf(change.row, key), change.row, key !== null);
                    break;
                case "update": {
                    const place = rows.take(nameOf(change.old ?? change.row, key));
                    if (place === undefined && this.#newestOnly)
                        break;
                    rows.add(nameOf(change.row, key), change.row, key !== null, place);
                    break;
                }
                case "delete": {
                    const place = rows.take(nameOf(change.row, key));
                    if (place !== undefined)
                        rows.clear(place);
                }
            }
        }
    }
}
/** Rows that stand in numbered places and are found by name. Each step takes the same time, however many there are. */
class Places {
    /** By place. A Map keeps the order in which they were first filled, and that is theirs. */
    #rows = new Map();
    /** Where the rows of a name stand. Without a primary key there may be equal ones; which of them goes does not matter. */
    #named = new Map();
    #last = 0;
    all() {
        return [...this.#rows.values()];
    }
    /** Puts a row into a place: behind all others unless told, and if names are `unique` into that of its namesake. */
    add(name, row, unique, place) {
        const namesake = unique ? this.take(name) : undefined;
        const to = place ?? namesake ?? ++this.#last;
        if (namesake !== undefined && namesake !== to)
            this.clear(namesake);
        this.#rows.set(to, row);
        const places = this.#named.get(name);
        if (places)
            places.push(to);
        else
            this.#named.set(name, [to]);
    }
    /** Where a row of the name stands, which is not found by it any more. */
    take(name) {
        const places = this.#named.get(name);
        const place = places?.pop();
        if (places?.length === 0)
            this.#named.delete(name);
        return place;
    }
    /** Removes the row in a place. It was taken before. */
    clear(place) {
        this.#rows.delete(place);
    }
}
/** What tells a row from others: its primary key, or all of it. */
function nameOf(row, key) {
    const members = row;
    return JSON.stringify(key ? key.map((name) => members[name]) : row);
}
