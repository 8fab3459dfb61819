/** When Seqs begin: 2024-01-01 UTC. */
const EPOCH_MS = 1_704_067_200_000n;
const MAX = (1n << 63n) - 1n;

/**
 * A position in commit order: what orders changes, and where a subscription goes on. It has 63 bits, so it is never a
 * JavaScript number, which holds 53 of them.
 */
export class SeqId {
  readonly #value: bigint;

  private constructor(value: bigint) {
    this.#value = value;
  }

  /** From the text or bigint form. A number is refused: it would have lost digits already. */
  static from(value: SeqId | string | bigint): SeqId {
    if (value instanceof SeqId) return value;
    if (typeof value === "string" && !/^[0-9]{1,19}$/.test(value)) {
      throw new TypeError(`not a SeqId: ${JSON.stringify(value)}`);
    }
    if (typeof value !== "string" && typeof value !== "bigint") {
      throw new TypeError("a SeqId is made from a string or a bigint, since numbers do not hold it");
    }
    const seq = BigInt(value);
    if (seq < 0n || seq > MAX) throw new TypeError(`not a SeqId: ${value}`);
    return new SeqId(seq);
  }

  /** When it was drawn, to the millisecond. */
  toDate(): Date {
    return new Date(Number((this.#value >> 22n) + EPOCH_MS));
  }

  toBigInt(): bigint {
    return this.#value;
  }

  toString(): string {
    return this.#value.toString();
  }

  toJSON(): string {
    return this.toString();
  }

  equals(other: SeqId): boolean {
    return this.#value === other.#value;
  }

  /** Negative when this one came before, positive when it came after. */
  compare(other: SeqId): number {
    return this.#value < other.#value ? -1 : this.#value > other.#value ? 1 : 0;
  }
}
