import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Server, until } from "./server.js";

const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const ROOT = join(import.meta.dirname, "../../..");
/** A folder for screenshots, for people to look at. */
const SHOTS = process.env.TIDELOG_SCREENSHOTS;

test("the demo has this client, compiled", () => {
  const out = mkdtempSync(join(tmpdir(), "tidelog-compiled-"));
  execFileSync("npx", ["tsc", "-p", "tsconfig.demo.json", "--outDir", out], { cwd: join(ROOT, "clients/typescript") });
  const files = readdirSync(out).sort();
  const kept = join(ROOT, "server/demo/client");
  expect(readdirSync(kept).sort()).toEqual(files);
  for (const file of files) {
    const same = readFileSync(join(out, file), "utf8") === readFileSync(join(kept, file), "utf8");
    expect(same, `npm run build:demo: ${file}`).toBe(true);
  }
  rmSync(out, { recursive: true });
});

if (!existsSync(CHROMIUM)) console.log(`skipped: no Chromium at ${CHROMIUM}`);
describe.skipIf(!existsSync(CHROMIUM))("in Chromium", () => {
  let server: Server;
  let browser: Browser;

  beforeAll(async () => {
    server = await Server.start("--demo");
    const setup = readFileSync(join(ROOT, "scripts/demo.sql"), "utf8").replace(/^--.*$/gm, "");
    for (const sql of setup.split(";").filter((part) => part.trim())) await server.sql(sql);
    const names = ["ada", "grace", "linus"];
    const rows = Array.from({ length: 230 }, (_, n) => {
      const at = new Date(Date.UTC(2026, 0, 1) + n * 420_000).toISOString();
      return `(${n + 1}, '${names[(n * 5) % 7 % 3]}', 'message ${n + 1}', '${at}')`;
    });
    await server.sql(`INSERT INTO chat.messages VALUES ${rows.join(",")}`);
    await server.sql("CALL tidelog.flush('chat.messages')");
    browser = await chromium.launch({
      executablePath: CHROMIUM,
      args: [
        ...["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"],
        ...["--disable-component-update", "--disable-sync"],
      ],
    });
  });
  afterAll(async () => {
    await browser?.close();
    await server?.end();
  });

  async function open(options: { colorScheme?: "light" | "dark"; width?: number } = {}): Promise<Page> {
    const page = await browser.newPage({
      colorScheme: options.colorScheme ?? "light",
      viewport: { width: options.width ?? 1280, height: 800 },
    });
    page.on("pageerror", (error) => {
      throw error;
    });
    await page.goto(`${server.url}/`);
    return page;
  }

  async function shoot(page: Page, name: string): Promise<void> {
    if (!SHOTS) return;
    mkdirSync(SHOTS, { recursive: true });
    await page.screenshot({ path: join(SHOTS, `${name}.png`) });
  }

  const pane = (page: Page, user: string) => page.locator(`.pane[data-user=${user}]`);
  const says = async (page: Page, user: string, text: string) => {
    await pane(page, user).locator("form input").fill(text);
    await pane(page, user).locator("form button").click();
  };

  test("the client runs in a page, as it does in Node", async () => {
    const page = await open();
    // As text, so that vitest leaves the import to the page.
    const seen = await page.evaluate(`(async () => {
      const { Auth, createClient, SeqId } = await import("/client/index.js");
      const client = createClient({ url: location.origin, authProvider: async () => Auth.basic("alice", "demo") });
      const { rows } = await client.query("SELECT 9007199254740993::bigint AS id");
      const ids = await new Promise((resolve) => {
        const stop = client.live(
          "SUBSCRIBE TO chat.messages",
          (present) => {
            stop();
            resolve(present.map(({ id }) => id));
          },
          { subscriptionOptions: { last_rows: 2 } },
        );
      });
      const error = await client.query("SELECT 1/0").catch((error) => [error.name, error.code]);
      client.close();
      return { rows, ids, error, seq: String(SeqId.from("5")) };
    })()`);
    expect(seen).toEqual({
      rows: [{ id: "9007199254740993" }],
      ids: ["229", "230"],
      error: ["DataError", "22012"],
      seq: "5",
    });
    await page.close();
  });

  test("a page of another origin is refused", async () => {
    const page = await browser.newPage();
    await page.goto("data:text/html,<h1>elsewhere</h1>");
    const outcome = await page.evaluate(async (url) => {
      const socket = new WebSocket(`${url.replace("http", "ws")}/v1/ws`);
      const opened = await new Promise((resolve) => {
        socket.onopen = () => resolve(true);
        socket.onerror = () => resolve(false);
      });
      const fetched = await fetch(`${url}/v1/sql`, { method: "POST", body: "{}" }).then(
        () => true,
        () => false,
      );
      return { opened, fetched };
    }, server.url);
    expect(outcome).toEqual({ opened: false, fetched: false });
    await page.close();
  });

  test("a page of another origin is told where it may have gone wrong", async () => {
    const page = await browser.newPage();
    await page.route("http://elsewhere.test/**", (route) => {
      const { pathname } = new URL(route.request().url());
      if (pathname === "/") return route.fulfill({ contentType: "text/html", body: "<h1>elsewhere</h1>" });
      return route.fulfill({ path: join(ROOT, "server/demo", pathname), contentType: "text/javascript" });
    });
    await page.goto("http://elsewhere.test/");
    const told = await page.evaluate(`(async () => {
      const { Auth, createClient } = await import("/client/index.js");
      const authProvider = async () => Auth.basic("postgres");
      const client = createClient({ url: "${server.url}", authProvider, connectTimeoutMs: 500 });
      const offline = new Promise((resolve) => client.on("offline", (why) => resolve(why.code)));
      const error = await client.query("SELECT 1").catch(({ name, code, message, hint }) => ({ name, code, message, hint }));
      client.close();
      return { ...error, offline: await offline };
    })()`);
    expect((told as { message: string }).message).toContain("or refuses the page");
    expect(told).toMatchObject({ name: "ConnectionError", code: "08001", offline: "08006" });
    expect((told as { hint: string }).hint).toContain("http_origins");
    await page.close();
  });

  test("two users talk, see each other type, and have notes of their own", async () => {
    const page = await open();
    const [alice, bob] = [pane(page, "alice"), pane(page, "bob")];
    await alice.locator(".status", { hasText: "live" }).waitFor();
    await bob.locator("[data-id='230']").waitFor();
    expect(await bob.locator("[data-id]").count()).toBe(50);
    await alice.locator("form input").pressSequentially("Hello Bob, this row is in a SHARED table", { delay: 5 });
    await bob.locator(".typing", { hasText: "alice is typing" }).waitFor();
    await shoot(page, "typing");
    await alice.locator("form button").click();
    await bob.locator(".message:not(.own)", { hasText: "Hello Bob" }).waitFor();
    await alice.locator(".message.own", { hasText: "Hello Bob" }).waitFor();
    await bob.locator("[data-view=room] .typing", { hasText: /^$/ }).waitFor({ state: "attached" });
    await says(page, "bob", "And I saw it arrive.\nNobody polled.");
    await alice.locator(".message:not(.own)", { hasText: "And I saw it" }).waitFor();

    for (const user of ["alice", "bob"]) {
      await pane(page, user).locator("[data-tab=notes]").click();
      await says(page, user, `a note of ${user}`);
      await pane(page, user).locator(".note", { hasText: `a note of ${user}` }).waitFor();
    }
    await says(page, "alice", "buy milk");
    await alice.locator(".note", { hasText: "buy milk" }).waitFor();
    expect(await alice.locator(".note").allInnerTexts()).toHaveLength(2);
    expect(await bob.locator(".note span").allInnerTexts()).toEqual(["a note of bob"]);
    await bob.locator(".note input").click();
    await bob.locator(".note.done").waitFor();
    await shoot(page, "notes");
    await page.close();
  });

  test("scrolling back reads the history", async () => {
    const page = await open();
    const alice = pane(page, "alice");
    await alice.locator("[data-id='230']").waitFor();
    const list = alice.locator("[data-view=room] .list");
    const first = () => alice.locator("[data-id]").first().getAttribute("data-id");
    while ((await first()) !== "1") {
      const before = await first();
      await list.evaluate((element) => (element.scrollTop = 0));
      await until("an earlier page", async () => (await first()) !== before);
    }
    await alice.locator(".earlier", { hasText: "This is where it begins" }).first().waitFor();
    const ids = await alice.locator("[data-id]").evaluateAll((items) => items.map((item) => item.getAttribute("data-id")!));
    expect(ids.slice(0, 230)).toEqual(Array.from({ length: 230 }, (_, n) => String(n + 1)));
    await list.evaluate((element) => (element.scrollTop = 1000));
    await shoot(page, "history");
    await page.close();
  });

  test("the page shows when the server goes and comes, and what was said meanwhile arrives", async () => {
    const page = await open();
    const [alice, bob] = [pane(page, "alice"), pane(page, "bob")];
    await alice.locator(".status", { hasText: "live" }).waitFor();
    await bob.locator(".status", { hasText: "live" }).waitFor();
    await server.stop("SIGKILL");
    await alice.locator(".status[data-status=offline]").waitFor();
    await says(page, "alice", "said while the server was down");
    await alice.locator(".message.pending").waitFor();
    await shoot(page, "offline");
    await server.startAgain();
    await bob.locator(".message", { hasText: "said while the server was down" }).waitFor();
    await alice.locator(".status", { hasText: "live" }).waitFor();
    await until("nothing is pending", async () => (await alice.locator(".message.pending").count()) === 0);
    expect(await bob.locator(".message", { hasText: "said while the server was down" }).count()).toBe(1);
    await page.close();
  });

  test.each([
    ["light", 1280],
    ["dark", 1280],
    ["light", 390],
    ["dark", 390],
  ] as const)("it fits: %s, %i wide", async (colorScheme, width) => {
    const page = await open({ colorScheme, width });
    await pane(page, "alice").locator("[data-id='230']").waitFor();
    await pane(page, "alice").locator(".status", { hasText: "live" }).waitFor();
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    expect(overflow).toBeLessThanOrEqual(0);
    await shoot(page, `${colorScheme}-${width}`);
    if (width < 800) {
      expect(await pane(page, "bob").isVisible()).toBe(false);
      await page.locator(".switch button", { hasText: "bob" }).click();
      expect(await pane(page, "bob").isVisible()).toBe(true);
      const list = pane(page, "bob").locator("[data-view=room] .list");
      const below = () => list.evaluate((element) => element.scrollHeight - element.scrollTop - element.clientHeight);
      expect(await list.evaluate((element) => element.scrollHeight > 2 * element.clientHeight)).toBe(true);
      expect(await below()).toBeLessThan(5);
    }
    await page.close();
  });
});
