// Two users of one chat, each with a client of his own. What is shown is what the server said: the panes do not know
// of each other.
import { Auth, createClient } from "/client/index.js";

const USERS = ["alice", "bob"];
/** How many messages are loaded at once when scrolling back. */
const PAGE = 50;
/** How near to the end of the list somebody reads what is new. */
const NEAR_PX = 80;

const QUERIES = {
  room: { kind: "SHARED", sql: "SUBSCRIBE TO chat.messages OPTIONS (last_rows = 50)", hint: "Message # ubuntu" },
  notes: { kind: "USER", sql: "SUBSCRIBE TO chat.notes", hint: "A note that only you see" },
};

/** A user's half of the page. */
class Pane {
  constructor(user) {
    this.user = user;
    this.root = document.getElementById("pane").content.firstElementChild.cloneNode(true);
    this.root.dataset.user = user;
    this.input = this.root.querySelector("form input");
    this.client = createClient({
      url: location.origin,
      authProvider: () => Auth.basic(user, "demo"),
      // What is said offline is sent when the server is back, however late.
      connectTimeoutMs: Infinity,
    });
    this.root.querySelector("h2").textContent = user;
    dress(this.root.querySelector(".avatar"), user);
    this.client.on("status", (status) => this.showStatus(status));
    this.showStatus(this.client.status);
    this.room = new Room(this);
    this.notes = new Notes(this);
    for (const tab of this.root.querySelectorAll("[data-tab]")) {
      tab.addEventListener("click", () => this.open(tab.dataset.tab));
    }
    this.root.querySelector("form").addEventListener("submit", (event) => {
      event.preventDefault();
      const text = this.input.value.trim();
      this.input.value = "";
      if (text) this[this.tab].send(text);
    });
    this.input.addEventListener("input", () => this.tab === "room" && this.room.typed());
    this.open("room");
  }

  open(name) {
    this.tab = name;
    for (const tab of this.root.querySelectorAll("[data-tab]")) {
      tab.setAttribute("aria-selected", tab.dataset.tab === name);
    }
    for (const view of this.root.querySelectorAll("[data-view]")) view.hidden = view.dataset.view !== name;
    this.input.placeholder = QUERIES[name].hint;
    this.input.setAttribute("aria-label", QUERIES[name].hint);
    this.showSql();
    if (name === "room") this.room.toEnd();
  }

  showStatus(status) {
    const pill = this.root.querySelector(".status");
    pill.dataset.status = status;
    pill.textContent = { online: "live", offline: "offline, retrying", idle: "connecting" }[status] ?? status;
  }

  showSql() {
    const line = this.root.querySelector(".sql");
    line.classList.remove("error");
    line.querySelector(".kind").textContent = QUERIES[this.tab].kind;
    line.querySelector("code").textContent = QUERIES[this.tab].sql;
  }

  /** Runs a statement; an error is shown below the pane. */
  async query(sql, params) {
    try {
      return await this.client.query(sql, params);
    } catch (error) {
      const line = this.root.querySelector(".sql");
      line.classList.add("error");
      line.querySelector(".kind").textContent = error.code ?? "";
      line.querySelector("code").textContent = error.message;
      setTimeout(() => this.showSql(), 6000);
      return undefined;
    }
  }
}

/** The shared room: the newest messages live, the older ones page by page. */
class Room {
  /** Messages by id: those that a page of history brought, and those that are live. */
  older = new Map();
  live = [];
  pending = new Map();
  loading = false;
  complete = false;
  typedAt = 0;

  constructor(pane) {
    this.pane = pane;
    const view = pane.root.querySelector("[data-view=room]");
    this.list = view.querySelector(".list");
    this.rows = view.querySelector("ol");
    this.earlier = view.querySelector(".earlier");
    this.newest = view.querySelector(".newest");
    this.typing = view.querySelector(".typing");
    this.list.addEventListener("scroll", () => this.scrolled());
    this.newest.addEventListener("click", () => this.toEnd());
    pane.client.live(
      "SUBSCRIBE TO chat.messages",
      (rows) => {
        this.live = rows;
        this.render();
      },
      { subscriptionOptions: { last_rows: PAGE } },
    );
    pane.client.live("SUBSCRIBE TO chat.typing", (rows) => this.showTyping(rows));
  }

  /** The statement waits for the connection, so what is said offline is sent when it is back. */
  async send(body) {
    const key = Symbol(body);
    this.pending.set(key, { id: null, author: this.pane.user, body, sent_at: new Date().toISOString() });
    this.render();
    this.toEnd();
    this.typedAt = 0;
    const insert = "INSERT INTO chat.messages (author, body) VALUES (current_user, $1)";
    await this.pane.query(insert, [body]);
    this.pending.delete(key);
    this.render();
    if (this.pane.client.status === "online") {
      await this.pane.query("DELETE FROM chat.typing WHERE author = current_user", []);
    }
  }

  /** Tells the others, at most every two seconds; the row goes by itself (ttl). */
  typed() {
    if (this.pane.client.status !== "online" || Date.now() - this.typedAt < 2000) return;
    this.typedAt = Date.now();
    const upsert =
      "INSERT INTO chat.typing (author) VALUES (current_user) ON CONFLICT (author) DO UPDATE SET at = now()";
    void this.pane.query(upsert, []);
  }

  showTyping(rows) {
    const names = rows.map((row) => row.author).filter((author) => author !== this.pane.user);
    const verb = names.length > 1 ? "are" : "is";
    this.typing.textContent = names.length ? `${names.join(" and ")} ${verb} typing…` : "";
  }

  scrolled() {
    if (this.list.scrollTop < 200) void this.loadEarlier();
    if (this.atEnd()) this.newest.hidden = true;
  }

  atEnd() {
    return this.list.scrollHeight - this.list.scrollTop - this.list.clientHeight < NEAR_PX;
  }

  toEnd() {
    this.list.scrollTop = this.list.scrollHeight;
    this.newest.hidden = true;
  }

  async loadEarlier() {
    const oldest = this.messages()[0];
    if (this.loading || this.complete || !oldest?.id) return;
    this.loading = true;
    this.earlier.textContent = "Loading earlier messages…";
    const begun = performance.now();
    const page = "SELECT * FROM chat.messages WHERE id < $1 ORDER BY id DESC LIMIT $2";
    const result = await this.pane.query(page, [oldest.id, PAGE]);
    if (result) {
      for (const row of result.rows) this.older.set(row.id, row);
      this.complete = result.rows.length < PAGE;
      const took = Math.max(1, Math.round(performance.now() - begun));
      this.earlier.textContent = this.complete
        ? "This is where it begins."
        : `${this.older.size} earlier messages read from Parquet, the last ${result.rows.length} in ${took} ms`;
    } else {
      this.earlier.textContent = "";
    }
    this.render();
    this.loading = false;
  }

  /** All that is known, oldest first. Ids are bigints in text form: the longer one is the greater. */
  messages() {
    const all = new Map(this.older);
    for (const row of this.live) all.set(row.id, row);
    const sorted = [...all.values()].sort((a, b) => a.id.length - b.id.length || (a.id < b.id ? -1 : 1));
    return [...sorted, ...this.pending.values()];
  }

  render() {
    const follow = this.atEnd() || this.rows.children.length === 0;
    const fromEnd = this.list.scrollHeight - this.list.scrollTop;
    const known = new Set([...this.rows.querySelectorAll("[data-id]")].map((item) => item.dataset.id));
    const before = this.rows.lastElementChild?.dataset.id;
    const items = [];
    let previous;
    for (const message of this.messages()) {
      const day = message.sent_at.slice(0, 10);
      if (previous?.sent_at.slice(0, 10) !== day) {
        const text = new Date(message.sent_at).toLocaleDateString("en", { dateStyle: "long", timeZone: "UTC" });
        items.push(element("li", "day", text));
        previous = undefined;
      }
      const item = this.item(message, previous);
      if (known.size > 0 && message.id && !known.has(message.id) && message.id === this.live.at(-1)?.id) {
        item.classList.add("fresh");
      }
      items.push(item);
      previous = message;
    }
    this.rows.replaceChildren(...items);
    if (follow) this.toEnd();
    else {
      this.list.scrollTop = this.list.scrollHeight - fromEnd;
      const last = this.rows.lastElementChild?.dataset.id;
      if (before && last && last !== before) {
        // Something came below: what is read stays where it is.
        this.list.scrollTop -= this.rows.lastElementChild.offsetHeight;
        this.newest.hidden = false;
      }
    }
  }

  item(message, previous) {
    const item = element("li", "message");
    const first = previous?.author !== message.author || Date.parse(message.sent_at) - Date.parse(previous.sent_at) > 300_000;
    item.classList.toggle("first", first);
    item.classList.toggle("own", message.author === this.pane.user);
    item.classList.toggle("pending", message.id === null);
    if (message.id) item.dataset.id = message.id;
    const avatar = element("span", "avatar");
    dress(avatar, message.author);
    const meta = element("span", "meta");
    const time = new Date(message.sent_at).toLocaleTimeString("en", { timeStyle: "short", timeZone: "UTC", hour12: false });
    meta.append(element("b", "", message.author), message.id ? time : "sending…");
    item.append(avatar, meta, element("div", "body", message.body));
    return item;
  }
}

/** Notes in a USER table: the same statements in both panes, and each gets its own rows. */
class Notes {
  constructor(pane) {
    this.pane = pane;
    const view = pane.root.querySelector("[data-view=notes]");
    this.list = view.querySelector("ol");
    this.hint = view.querySelector(".earlier");
    pane.client.live("SUBSCRIBE TO chat.notes", (rows) => this.render(rows));
  }

  send(body) {
    void this.pane.query("INSERT INTO chat.notes (body) VALUES ($1)", [body]);
  }

  render(rows) {
    this.hint.textContent = `Rows of ${this.pane.user} in the USER table chat.notes. Nobody else's statements reach them.`;
    this.list.replaceChildren(
      ...rows.map((note) => {
        const item = element("li", "note");
        item.classList.toggle("done", note.done);
        const box = Object.assign(element("input"), { type: "checkbox", checked: note.done, ariaLabel: note.body });
        box.addEventListener("change", () => {
          void this.pane.query("UPDATE chat.notes SET done = NOT done WHERE id = $1", [note.id]);
        });
        const remove = Object.assign(element("button", "", "×"), { type: "button", ariaLabel: `Delete ${note.body}` });
        remove.addEventListener("click", () => {
          void this.pane.query("DELETE FROM chat.notes WHERE id = $1", [note.id]);
        });
        item.append(box, element("span", "", note.body), remove);
        return item;
      }),
    );
  }
}

function element(name, className = "", text = "") {
  return Object.assign(document.createElement(name), { className, textContent: text });
}

/** Somebody's letter in a colour of his own. */
function dress(avatar, name) {
  let hue = 0;
  for (const character of name) hue = (hue * 31 + character.codePointAt(0)) % 360;
  avatar.textContent = /[\p{L}\p{N}]/u.exec(name)?.[0] ?? name.slice(0, 1);
  avatar.style.setProperty("--hue", hue);
  avatar.setAttribute("aria-hidden", "true");
}

const main = document.querySelector("main");
const buttons = document.querySelector(".switch");

const panes = USERS.map((user) => new Pane(user));
for (const { user, root } of panes) {
  main.append(root);
  const button = Object.assign(document.createElement("button"), { textContent: user });
  button.addEventListener("click", () => show(user));
  buttons.append(button);
}
show(USERS[0]);

/** On narrow screens there is one pane at a time. */
function show(user) {
  panes.forEach((pane, index) => {
    pane.root.classList.toggle("shown", pane.user === user);
    buttons.children[index].setAttribute("aria-pressed", pane.user === user);
    // While it was hidden it had no height to be scrolled.
    if (pane.user === user) pane.room.toEnd();
  });
}
