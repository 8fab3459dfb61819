import { type ChildProcess, spawn } from "node:child_process";
import { createWriteStream, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Auth, type Client, createClient } from "../src/index.js";

const PATIENCE_MS = 60_000;

/** Waits until the condition holds. */
export async function until<T>(what: string, condition: () => T | undefined | false | Promise<T | undefined | false>): Promise<T> {
  const begun = Date.now();
  for (;;) {
    const value = await condition();
    if (value !== undefined && value !== false) return value;
    if (Date.now() - begun > PATIENCE_MS) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** The built server on a folder of its own. */
export class Server {
  readonly folder = mkdtempSync(join(tmpdir(), "tidelog-client-"));
  readonly #options: string[];
  #child: ChildProcess | undefined;
  #clients: Client[] = [];
  http = "127.0.0.1:0";

  private constructor(options: string[]) {
    this.#options = options;
  }

  static async start(...options: string[]): Promise<Server> {
    const server = new Server(options);
    await server.startAgain();
    return server;
  }

  get url(): string {
    return `http://${this.http}`;
  }

  /** On the same data and the same HTTP port. */
  async startAgain(): Promise<void> {
    const binary = process.env.TIDELOG_BIN ?? join(process.env.CARGO_TARGET_DIR ?? "", "debug/tidelog");
    const data = join(this.folder, "data");
    const addresses = join(data, "addresses.json");
    rmSync(addresses, { force: true });
    const log = createWriteStream(join(this.folder, "log"), { flags: "a" });
    const child = spawn(binary, ["serve", "--data-dir", data, "--pg", "127.0.0.1:0", "--http", this.http, ...this.#options]);
    child.stdout.pipe(log);
    child.stderr.pipe(log);
    this.#child = child;
    await until("the server", async () => {
      if (child.exitCode !== null) throw new Error(`the server ended:\n${readFileSync(join(this.folder, "log"), "utf8")}`);
      if (!existsSync(addresses)) return false;
      try {
        this.http = (JSON.parse(readFileSync(addresses, "utf8")) as { http: string }).http;
        return (await fetch(`${this.url}/health`)).ok;
      } catch {
        return false;
      }
    });
  }

  /** SIGKILL, or SIGTERM for a stop in good order. */
  async stop(signal: "SIGKILL" | "SIGTERM" = "SIGKILL"): Promise<void> {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill(signal);
    await ended;
  }

  client(user = "postgres", password = ""): Client {
    const client = createClient({
      url: this.url,
      authProvider: async () => Auth.basic(user, password),
      reconnectDelayMs: { first: 20, max: 200 },
    });
    this.#clients.push(client);
    return client;
  }

  /** A statement over `POST /v1/sql`: the rows, or an error with the answer. */
  async sql(sql: string, params: unknown[] = []): Promise<unknown[][]> {
    const response = await fetch(`${this.url}/v1/sql`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Basic ${btoa("postgres:")}` },
      body: JSON.stringify({ sql, params }),
    });
    const answer = (await response.json()) as { rows: unknown[][]; tag?: string };
    if (answer.tag === undefined) throw new Error(`${sql}: ${JSON.stringify(answer)}`);
    return answer.rows;
  }

  async end(): Promise<void> {
    for (const client of this.#clients) client.close();
    await this.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
