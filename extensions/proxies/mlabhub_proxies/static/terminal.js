/* The terminal's page: Jupyter's shells as tabs, each in a screen of xterm.js.

Guarantees: a shell runs on whatever happens to this page; after a cut line the screen goes on where it was; what was
typed into a cut line is typed when it is back, once; a flood of output is drawn as fast as the browser can and no more
of it is held here (the server sends only what fits the window; see `terminal.py`). */

import { ask } from "./ask.js";
import { getLine } from "./line.js";
import { FitAddon } from "./vendor/@xterm/addon-fit/lib/addon-fit.mjs";
import { Unicode11Addon } from "./vendor/@xterm/addon-unicode11/lib/addon-unicode11.mjs";
import { WebLinksAddon } from "./vendor/@xterm/addon-web-links/lib/addon-web-links.mjs";
import { Terminal } from "./vendor/@xterm/xterm/lib/xterm.mjs";

const page = JSON.parse(document.getElementById("page").textContent);
const words = page.words;
const line = getLine(page.base);
const pageId = Math.random().toString(36).slice(2);
const byId = (id) => document.getElementById(id);
const wait = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

const LEFT = 4000;
const FONT = '"DejaVu Sans Mono", "Noto Sans Mono", "Noto Sans Mono CJK SC", "Noto Sans CJK SC", Menlo, Consolas, monospace';
const LETTERS = { least: 8, usual: 14, most: 32, kept: "mlabhub-terminal-letters" };
const DARK = { background: "#1a1d20", foreground: "#dee2e6", cursor: "#dee2e6", selectionBackground: "#3d5a80" };
const LIGHT = { background: "#ffffff", foreground: "#212529", cursor: "#212529", selectionBackground: "#b6d4fe" };
const isDark = matchMedia("(prefers-color-scheme: dark)");

/* --- one shell ---------------------------------------------------------------------------------------------------- */

class Shell {
  ended = false;
  title = "";
  #socket = null;
  #tape = "";
  #drawn = 0;
  #typed = []; // [number, text], not confirmed by the server yet
  #number = 0;
  #tries = 0;

  constructor(name) {
    this.name = name;
    this.term = new Terminal({
      allowProposedApi: true, // for the widths of Unicode 11
      cursorBlink: true,
      fontFamily: FONT,
      fontSize: letters(),
      minimumContrastRatio: 4.5,
      scrollback: 10_000,
      theme: isDark.matches ? DARK : LIGHT,
    });
    this.fit = new FitAddon();
    this.term.loadAddon(this.fit);
    this.term.loadAddon(new WebLinksAddon());
    this.term.loadAddon(new Unicode11Addon());
    this.term.unicode.activeVersion = "11";
    this.screen = document.createElement("div");
    this.screen.className = "screen";
    this.screen.id = `screen-${name}`;
    this.screen.setAttribute("role", "tabpanel");
    this.screen.setAttribute("aria-labelledby", `tab-${name}`);
    this.term.attachCustomKeyEventHandler((event) => this.#onKey(event));
    this.term.onData((text) => this.#type(text));
    this.term.onResize(({ rows, cols }) => this.#say({ size: [rows, cols] }));
    this.term.onTitleChange((title) => ((this.title = title), drawTabs()));
    line.addEventListener("cut", () => this.#again());
  }

  /** Show the screen; it is drawn, and connected, when it is first looked at. */
  show() {
    this.screen.hidden = false;
    if (!this.screen.isConnected) {
      byId("screens").append(this.screen);
      this.term.open(this.screen);
      this.fit.fit();
      this.#connect();
    }
    this.fit.fit();
    this.term.focus();
  }

  #connect() {
    const url = new URL(`mlabhub/terminals/${this.name}`, new URL(page.base, location.href));
    url.protocol = url.protocol.replace("http", "ws");
    url.search = new URLSearchParams({ page: pageId, tape: this.#tape, drawn: this.#drawn });
    this.#socket = new WebSocket(url);
    this.#socket.onmessage = (event) => this.#take(JSON.parse(event.data));
    this.#socket.onclose = () => this.#again();
  }

  /** Connect anew once the line is good. */
  async #again() {
    const socket = this.#socket;
    if (!socket || this.ended) return;
    this.#socket = socket.onmessage = socket.onclose = null;
    socket.close(LEFT);
    await wait(Math.random() * Math.min(10_000, 250 * 2 ** this.#tries++));
    await line.good();
    if (!this.ended) this.#connect();
  }

  #take({ tape, taken, start, end, text, ended }) {
    if (tape) {
      this.#tries = 0;
      this.#tape = tape;
      this.#say({ size: [this.term.rows, this.term.cols] });
    }
    if (taken !== undefined) this.#typed = this.#typed.filter(([number]) => number > taken);
    if (tape) for (const [number, kept] of this.#typed) this.#say({ number, text: kept });
    if (text !== undefined) this.#draw(start, end, text);
    if (ended) this.#end();
  }

  #draw(start, end, text) {
    const missing = this.#drawn && start - this.#drawn;
    this.#drawn = end;
    if (missing > 0) this.term.write(`\x1b[0m\r\n${words.missing.replace("{count}", missing)}\r\n`);
    this.term.write(text, () => this.#say({ drawn: end }));
  }

  #end() {
    this.ended = true;
    this.term.options.disableStdin = true;
    this.term.options.cursorBlink = false;
    const after = document.createElement("div");
    after.className = "after";
    const again = Object.assign(document.createElement("button"), { className: "button", textContent: words.new });
    again.onclick = () => replace(this);
    const said = Object.assign(document.createElement("span"), { textContent: words.ended });
    said.setAttribute("role", "status");
    after.append(said, again);
    this.screen.append(after);
    if (!this.screen.hidden) again.focus();
    drawTabs();
  }

  #type(text) {
    if (this.ended) return;
    this.#number += 1;
    this.#typed.push([this.#number, text]);
    this.#say({ number: this.#number, text });
  }

  #say(content) {
    if (this.#socket?.readyState === WebSocket.OPEN && this.#tape) this.#socket.send(JSON.stringify(content));
  }

  /** Return false for keys that are the page's and not the shell's. */
  #onKey(event) {
    const key = event.key.toLowerCase();
    const isCopy = event.ctrlKey && key === "c" && (event.shiftKey || this.term.hasSelection());
    const isPaste = event.ctrlKey && key === "v";
    if (isPaste || isOurs(event)) return false; // the browser pastes by itself; our own keys are taken by the window
    if (!isCopy || event.altKey || event.metaKey) return true;
    if (event.type === "keydown") {
      event.preventDefault();
      document.execCommand("copy"); // works without a secure context; xterm.js gives it the selection
      if (!event.shiftKey) this.term.clearSelection();
    }
    return false;
  }

  dispose() {
    this.ended = true;
    this.#socket?.close();
    this.term.dispose();
    this.screen.remove();
  }
}

/* --- all shells --------------------------------------------------------------------------------------------------- */

const shells = new Map();
let current = null;

async function api(method, path, body) {
  const answer = await ask(new URL(path, new URL(page.base, location.href)), { method, body });
  if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).message ?? words.unreachable);
  return answer.status === 204 ? null : answer.json();
}

/** Learn which shells run, from wherever they were started. */
async function look() {
  const running = await api("GET", "api/terminals");
  for (const { name } of running.sort((a, b) => a.name.localeCompare(b.name, "en", { numeric: true }))) {
    if (!shells.has(name)) shells.set(name, new Shell(name));
  }
  drawTabs();
  return running.sort((a, b) => (a.last_activity < b.last_activity ? 1 : -1)).map(({ name }) => name);
}

function select(shell) {
  current = shell;
  for (const other of shells.values()) other.screen.hidden = other !== shell;
  shell.show();
  history.replaceState(null, "", `#${shell.name}`);
  drawTabs();
}

async function start() {
  await trying(async () => {
    const { name } = await api("POST", "api/terminals", "{}");
    shells.get(name)?.dispose();
    shells.set(name, new Shell(name));
    select(shells.get(name));
  });
}

/** A new shell in place of one that ended. */
async function replace(shell) {
  forget(shell);
  await start();
}

function forget(shell) {
  shell.dispose();
  shells.delete(shell.name);
}

async function close(shell) {
  if (!shell.ended) {
    const dialog = byId("close");
    dialog.returnValue = "";
    dialog.showModal();
    await new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
    if (dialog.returnValue !== "close") return shell.show();
  }
  await trying(async () => {
    if (!shell.ended) await api("DELETE", `api/terminals/${shell.name}`);
    forget(shell);
    const rest = [...shells.values()].at(-1);
    if (rest) select(rest);
    else await start();
  });
}

/** Do something that asks the server; say in words when it refuses or cannot be reached. */
async function trying(act) {
  try {
    await act();
    byId("line").hidden = true;
  } catch (error) {
    say(error instanceof TypeError ? words.unreachable : error.message);
  }
}

function drawTabs() {
  const hadFocus = document.activeElement?.getAttribute("role") === "tab";
  byId("tabs").replaceChildren(...[...shells.values()].map(makeTab));
  document.title = [current?.title || words.terminal, page.server].join(" · ");
  const selected = byId("tabs").querySelector("[aria-selected=true]");
  selected?.scrollIntoView({ inline: "nearest", block: "nearest" });
  if (hadFocus) selected?.focus();
}

function makeTab(shell) {
  const tab = document.createElement("button");
  tab.id = `tab-${shell.name}`;
  tab.type = "button";
  tab.setAttribute("role", "tab");
  tab.setAttribute("aria-selected", shell === current);
  tab.setAttribute("aria-controls", shell.screen.id);
  tab.tabIndex = shell === current ? 0 : -1;
  tab.textContent = shell.title ? `${shell.name}: ${shell.title}` : `${words.terminal} ${shell.name}`;
  tab.title = tab.textContent;
  tab.classList.toggle("ended", shell.ended);
  tab.onclick = () => select(shell);
  const end = document.createElement("button");
  Object.assign(end, { type: "button", className: "close", textContent: "×", title: words.close });
  end.setAttribute("aria-label", `${words.close}: ${tab.textContent}`);
  end.onclick = () => close(shell);
  const both = document.createElement("span");
  both.className = "tab";
  both.setAttribute("role", "presentation");
  both.append(tab, end);
  return both;
}

/* --- letters, colours, keys --------------------------------------------------------------------------------------- */

function letters() {
  const kept = Number(localStorage.getItem(LETTERS.kept));
  return kept >= LETTERS.least && kept <= LETTERS.most ? kept : LETTERS.usual;
}

function resize(by) {
  localStorage.setItem(LETTERS.kept, Math.min(LETTERS.most, Math.max(LETTERS.least, letters() + by)));
  for (const { term } of shells.values()) term.options.fontSize = letters();
  current?.fit.fit();
}

function paint() {
  const theme = isDark.matches ? DARK : LIGHT;
  document.documentElement.style.setProperty("--screen", theme.background);
  for (const { term } of shells.values()) term.options.theme = theme;
}

const OURS = { "+": () => resize(1), "_": () => resize(-1), "-": () => resize(-1), "=": () => resize(1) };
const isOurs = (event) => event.ctrlKey && event.shiftKey && !event.altKey && event.key in OURS;

function say(sentence) {
  byId("line").textContent = sentence;
  byId("line").hidden = !sentence;
}

function showLine() {
  if (window.parent.mlabhubLine) return; // the bar around this page says it
  say({ cut: words.cut, loggedout: words.loggedout, stopped: words.stopped }[line.state] ?? "");
}

addEventListener("keydown", (event) => isOurs(event) && (event.preventDefault(), OURS[event.key]()));
addEventListener("hashchange", () => shells.has(location.hash.slice(1)) && select(shells.get(location.hash.slice(1))));
addEventListener("focus", () => current?.term.focus());
byId("tabs").addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step || event.target.getAttribute("role") !== "tab") return;
  const all = [...shells.values()];
  select(all.at((all.indexOf(current) + step) % all.length));
  byId(`tab-${current.name}`).focus();
});
byId("new").onclick = start;
byId("smaller").onclick = () => resize(-1);
byId("larger").onclick = () => resize(1);
isDark.addEventListener("change", paint);
new ResizeObserver(() => current && !current.screen.hidden && current.fit.fit()).observe(byId("screens"));
for (const name of ["cut", "back", "loggedout", "stopped"]) line.addEventListener(name, showLine);
line.addEventListener("back", () => trying(look));
document.addEventListener("visibilitychange", () => document.hidden || trying(look));

paint();
await trying(async () => {
  const newestFirst = await look();
  const wanted = shells.get(location.hash.slice(1)) ?? shells.get(newestFirst[0]);
  if (wanted) select(wanted);
  else await start();
});
