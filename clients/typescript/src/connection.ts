import type { AuthProvider } from "./auth.js";
import { ConnectionError, TidelogError } from "./errors.js";
import { type ClientFrame, type ServerFrame, VERSION } from "./protocol.js";

/** The part of a WebSocket that is used: the browser's, Node's and that of `ws` have it. */
export interface Socket {
  readonly readyState: number;
  binaryType: string;
  send(data: string): void;
  close(code?: number, reason?: string): void;
  onopen: ((event: never) => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: ((event: { code: number; reason: string }) => void) | null;
  onerror: ((event: never) => void) | null;
}

export type SocketConstructor = new (url: string, protocols: string[]) => Socket;

/** Where the connection stands. */
export type Status = "idle" | "connecting" | "online" | "offline" | "closed";

/** What takes part in a connection: a query or a subscription. What one of them throws ends that one only. */
export interface Participant {
  /** The connection is up: send what is to be sent. */
  online(): void;
  /** It was lost. A participant that cannot go on leaves. */
  offline(why: ConnectionError): void;
  /** The server has closed it over a frame that it could not read. What it had not answered to may be that frame. */
  misunderstood(why: TidelogError): void;
  /** A frame with its id. */
  receive(frame: ServerFrame): void;
  /** It ends for good. */
  fail(error: TidelogError): void;
}

export interface ConnectionOptions {
  url: string;
  authProvider: AuthProvider;
  /** The database; `postgres` unless another is named. */
  database?: string | undefined;
  /** Instead of the global one. */
  WebSocket?: SocketConstructor | undefined;
  /** The first pause before a new attempt, and the longest; each is cut by chance to between half and all of it. */
  reconnectDelayMs?: { first: number; max: number } | undefined;
  /** How long a statement waits for a connection until it fails; 30 s unless told otherwise, `Infinity` for ever. */
  connectTimeoutMs?: number | undefined;
}

/** A connection that says nothing for so long is asked whether it is alive, and given up after twice that. */
const SILENCE_MS = 20_000;
/** One attempt to connect. */
const ATTEMPT_TIMEOUT_MS = 15_000;
const CONNECT_TIMEOUT_MS = 30_000;

/** One WebSocket at a time, opened when it is needed, and again when it was lost. */
export class Connection {
  readonly #options: ConnectionOptions;
  readonly #url: string;
  readonly #participants = new Map<number, Participant>();
  readonly #listeners = new Set<(status: Status, why?: TidelogError) => void>();
  #status: Status = "idle";
  /** Why there is no connection. */
  #why: ConnectionError | undefined;
  #socket: Socket | undefined;
  /** What came behind a compressed frame, which takes a moment to read. */
  #inbox: Promise<void> | undefined;
  #lastId = 0;
  #attempts = 0;
  /** The longest frame that the server takes. */
  #frameBytes = Infinity;
  #heardAt = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #deadline: ReturnType<typeof setTimeout> | undefined;
  #pulse: ReturnType<typeof setInterval> | undefined;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#url = webSocketUrl(options.url);
    if (typeof globalThis.addEventListener === "function") {
      globalThis.addEventListener("online", this.#networkIsBack);
    }
  }

  get status(): Status {
    return this.#status;
  }

  /** How long a statement waits for a connection, in milliseconds. */
  get patience(): number {
    return this.#options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS;
  }

  /** What a statement is told that has waited so long. */
  unreachable(): ConnectionError {
    const why = this.#why?.message ?? "it is still being made";
    const hint =
      "Is this where the server's HTTP is? Pages of other origins than its own must stand in its setting http_origins.";
    const message = `there was no connection to ${this.#url} within ${this.patience} ms: ${why}`;
    return new ConnectionError({ code: "08001", message, hint });
  }

  onStatus(listener: (status: Status, why?: TidelogError) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Takes part from now on, under the id that is returned. Opens the connection if there is none. */
  join(make: (id: number) => Participant): number {
    if (this.#status === "closed") throw closed();
    const id = ++this.#lastId;
    const participant = make(id);
    this.#participants.set(id, participant);
    if (this.#status === "online") this.#tell(id, participant, () => participant.online());
    else if (this.#status === "idle") void this.#connect();
    return id;
  }

  leave(id: number): void {
    this.#participants.delete(id);
  }

  /**
   * Sends a frame if there is a connection; who takes part is told when there is a new one. Throws what is wrong with a
   * frame that the server would close the connection over.
   */
  send(frame: ClientFrame): void {
    if (this.#status !== "online") return;
    const text = JSON.stringify(frame);
    // A UTF-16 unit has at most three bytes of UTF-8.
    if (text.length * 3 > this.#frameBytes) {
      const bytes = new TextEncoder().encode(text).length;
      if (bytes > this.#frameBytes) {
        const message = `the statement and its parameters have ${bytes} bytes, and the server takes ${this.#frameBytes}`;
        throw new TidelogError({ code: "54000", message });
      }
    }
    this.#socket?.send(text);
  }

  /** Ends it for good. What still takes part fails. */
  close(): void {
    if (this.#status === "closed") return;
    if (typeof globalThis.removeEventListener === "function") {
      globalThis.removeEventListener("online", this.#networkIsBack);
    }
    this.#drop();
    this.#setStatus("closed");
    this.#failAll(closed());
    this.#listeners.clear();
  }

  #networkIsBack = (): void => {
    if (this.#status !== "offline") return;
    this.#attempts = 0;
    clearTimeout(this.#retry);
    void this.#connect();
  };

  #setStatus(status: Status, why?: TidelogError): void {
    if (this.#status === status) return;
    this.#status = status;
    for (const listener of [...this.#listeners]) run(() => listener(status, why));
  }

  async #connect(): Promise<void> {
    this.#retry = undefined;
    this.#setStatus("connecting");
    let socket: Socket | undefined;
    try {
      // Anew each time: a token may have expired.
      const [constructor, auth] = await Promise.all([
        this.#options.WebSocket ?? defaultWebSocket(),
        this.#options.authProvider(),
      ]);
      if (this.#status !== "connecting") return;
      const own = new constructor(this.#url, ["tidelog.v1"]);
      socket = own;
      this.#socket = own;
      this.#deadline = setTimeout(() => this.#lost(own, "the server does not answer"), ATTEMPT_TIMEOUT_MS);
      own.binaryType = "arraybuffer";
      const compression = typeof DecompressionStream === "function" ? ({ compression: "deflate" } as const) : {};
      const named = this.#options.database;
      const database = named === undefined ? {} : { database: named };
      const hello: ClientFrame = { type: "hello", version: VERSION, auth, ...database, ...compression };
      // Browsers do not say what an answer was that is no WebSocket's; `ws` does.
      let failure: string | undefined = "the server cannot be reached, or refuses the page";
      own.onopen = () => {
        failure = undefined;
        own.send(JSON.stringify(hello));
      };
      own.onmessage = ({ data }) => {
        if (this.#socket !== own) return;
        this.#heardAt = Date.now();
        if (typeof data === "string" && this.#inbox === undefined) this.#read(own, data);
        else this.#readLater(own, data as string | ArrayBuffer);
      };
      own.onclose = ({ code, reason }) => {
        this.#lost(own, failure ?? `the connection was closed (${code}${reason ? `: ${reason}` : ""})`);
      };
      // A close follows.
      own.onerror = ({ message }: { message?: unknown }) => {
        if (failure !== undefined && typeof message === "string" && message) failure = message;
      };
    } catch (error) {
      // The provider failed: another attempt may find it mended.
      this.#lost(socket, error instanceof Error ? error.message : String(error));
    }
  }

  #read(socket: Socket, text: string): void {
    let frame: ServerFrame;
    try {
      frame = JSON.parse(text) as ServerFrame;
    } catch (error) {
      this.#lost(socket, `the server's frame cannot be read: ${String(error)}`);
      return;
    }
    this.#receive(frame);
  }

  /** Reads a frame after those before it. */
  #readLater(socket: Socket, data: string | ArrayBuffer): void {
    const inbox = (this.#inbox ?? Promise.resolve())
      .then(async () => {
        const text = typeof data === "string" ? data : await inflated(data);
        if (this.#socket === socket) this.#read(socket, text);
      })
      .catch((error: unknown) => this.#lost(socket, String(error)))
      .finally(() => {
        if (this.#inbox === inbox) this.#inbox = undefined;
      });
    this.#inbox = inbox;
  }

  #receive(frame: ServerFrame): void {
    switch (frame.type) {
      case "welcome":
        clearTimeout(this.#deadline);
        this.#attempts = 0;
        this.#why = undefined;
        this.#frameBytes = frame.limits.frame_bytes ?? Infinity;
        this.#beat();
        this.#setStatus("online");
        this.#tellAll((participant) => participant.online());
        return;
      case "pong":
        return;
      case "error":
        if (frame.id === undefined) {
          const error = TidelogError.from(frame.error);
          // A server that stops comes back; one that refuses the credentials or does not understand us will do so again.
          if (error instanceof ConnectionError) return;
          if (this.#status === "online") this.#misunderstood(error);
          else this.#refused(error);
          return;
        }
    }
    const { id } = frame;
    const participant = id === undefined ? undefined : this.#participants.get(id);
    if (id !== undefined && participant) this.#tell(id, participant, () => participant.receive(frame));
  }

  #tellAll(what: (participant: Participant) => void): void {
    for (const [id, participant] of [...this.#participants]) this.#tell(id, participant, () => what(participant));
  }

  /** What is wrong with one participant does not concern the others. */
  #tell(id: number, participant: Participant, call: () => void): void {
    try {
      call();
    } catch (error) {
      this.leave(id);
      participant.fail(error instanceof TidelogError ? error : unexpected(error));
    }
  }

  /** The server knows us, but not what one of us said. The others go on over another connection. */
  #misunderstood(error: TidelogError): void {
    this.#tellAll((participant) => participant.misunderstood(error));
    this.#lost(this.#socket, error.message);
  }

  /** The server will not have us. What waits is told; what comes later tries again. */
  #refused(error: TidelogError): void {
    this.#drop();
    this.#setStatus("idle", error);
    this.#failAll(error);
  }

  #lost(socket: Socket | undefined, reason: string): void {
    if (this.#status === "closed" || this.#status === "idle" || socket !== this.#socket) return;
    this.#drop();
    const why = new ConnectionError({ code: "08006", message: reason });
    this.#why = why;
    this.#setStatus("offline", why);
    this.#tellAll((participant) => participant.offline(why));
    const { first, max } = this.#options.reconnectDelayMs ?? { first: 250, max: 10_000 };
    const longest = Math.min(max, first * 2 ** this.#attempts++);
    this.#retry = setTimeout(() => void this.#connect(), longest * (0.5 + Math.random() / 2));
  }

  #failAll(error: TidelogError): void {
    const participants = [...this.#participants.values()];
    this.#participants.clear();
    for (const participant of participants) participant.fail(error);
  }

  /** Lets the present socket go. */
  #drop(): void {
    clearTimeout(this.#retry);
    clearTimeout(this.#deadline);
    clearInterval(this.#pulse);
    const socket = this.#socket;
    this.#socket = undefined;
    this.#inbox = undefined;
    if (socket === undefined) return;
    socket.onmessage = socket.onclose = socket.onopen = null;
    // Closing before it is open is an error of its own in `ws`.
    socket.onerror = () => {};
    run(() => socket.close(1000));
  }

  /** Browsers do not show pings, so silence is broken by a frame of ours. */
  #beat(): void {
    const socket = this.#socket;
    this.#heardAt = Date.now();
    this.#pulse = setInterval(() => {
      const silent = Date.now() - this.#heardAt;
      if (silent >= 2 * SILENCE_MS) this.#lost(socket, "the server does not answer any more");
      else if (silent >= SILENCE_MS) this.send({ type: "ping" });
    }, SILENCE_MS / 2);
  }
}

function closed(): ConnectionError {
  return new ConnectionError({ code: "08003", message: "the client is closed" });
}

function unexpected(cause: unknown): TidelogError {
  const error = new TidelogError({ code: "XX000", message: cause instanceof Error ? cause.message : String(cause) });
  error.cause = cause;
  return error;
}

/** Runs a user's function; what it throws is reported, and nothing here is disturbed. */
export function run(call: () => unknown): void {
  try {
    call();
  } catch (error) {
    setTimeout(() => {
      throw error;
    });
  }
}

/** The text of a compressed frame. */
function inflated(data: ArrayBuffer): Promise<string> {
  const text = new Blob([data]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return new Response(text).text();
}

/** `http://host:8080` is where the server is; its WebSocket is below. A `TypeError` when it is no such URL. */
function webSocketUrl(base: string): string {
  const url = new URL(base);
  if (!/^(http|ws)s?:$/.test(url.protocol)) throw new TypeError(`the URL of a server begins with http:// or https://: ${base}`);
  url.protocol = url.protocol.replace("http", "ws");
  if (!url.pathname.endsWith("/v1/ws")) url.pathname = `${url.pathname.replace(/\/$/, "")}/v1/ws`;
  return url.href;
}

/** Browsers and Node from 22 on have one; before, it is that of `ws`. */
async function defaultWebSocket(): Promise<SocketConstructor> {
  const global = (globalThis as { WebSocket?: unknown }).WebSocket;
  if (global !== undefined) return global as SocketConstructor;
  // A name that is no literal, so that bundlers for browsers leave it alone.
  const name = "ws";
  const { WebSocket } = (await import(name)) as { WebSocket: SocketConstructor };
  return WebSocket;
}
