/* Is the line to the server good? One answer for all that is open in a browser tab.

Guarantees: one heartbeat per browser tab, also with several tools in frames; none while the tab is hidden, but for one a
minute where something waits for the line to be good again; no two requests at once; tabs that come back together spread out over a second. Events of `Line`, an EventTarget:
`cut` when two heartbeats in a row failed, `back` when one is answered again (detail: `{since}`, milliseconds since the
epoch of the last good one), `loggedout` when the login is over, `stopped` when the hub says that the server is not
running. `state` is "good" or the name of the last of them. */

const EVERY = 10_000;
const TIMEOUT = 5_000;
const WHILE_BAD = 2_000;
const WHILE_HIDDEN = 60_000;
const SPREAD = 1_000;

const wait = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

export class Line extends EventTarget {
  state = "good";
  lastGood = Date.now();
  #address;
  #beating = null;
  #timer = 0;
  #waiting = 0;

  constructor(base) {
    super();
    this.#address = new URL("mlabhub/api/alive", new URL(base, location.href)).href;
    const soon = () => setTimeout(() => this.check(), Math.random() * SPREAD);
    for (const name of ["online", "focus", "pageshow"]) window.addEventListener(name, soon);
    document.addEventListener("visibilitychange", () => document.hidden || soon());
    this.#plan();
  }

  /** Ask now, unless a heartbeat is on its way; resolve to the state then. */
  check() {
    this.#beating ??= this.#beat().finally(() => {
      this.#beating = null;
      this.#plan();
    });
    return this.#beating;
  }

  /** Resolve once a heartbeat was answered: at once when the line is good. */
  async good() {
    if ((await this.check()) === "good") return;
    this.#waiting += 1;
    this.#plan();
    await new Promise((resolve) => this.addEventListener("back", resolve, { once: true }));
    this.#waiting -= 1;
  }

  #plan() {
    clearTimeout(this.#timer);
    const shown = this.state === "good" ? EVERY : WHILE_BAD;
    const pause = (document.hidden ? WHILE_HIDDEN : shown) + Math.random() * SPREAD;
    this.#timer = setTimeout(() => (document.hidden && !this.#waiting ? this.#plan() : this.check()), pause);
  }

  async #beat() {
    let state = await this.#ask();
    if (state === "cut" && this.state === "good") {
      await wait(SPREAD); // one lost answer is no cut line
      state = await this.#ask();
    }
    this.#enter(state);
    return state;
  }

  #enter(state) {
    const before = this.state;
    const since = this.lastGood;
    this.state = state;
    if (state === "good") this.lastGood = Date.now();
    if (state === before) return;
    this.dispatchEvent(new CustomEvent(state === "good" ? "back" : state, { detail: { since } }));
  }

  async #ask() {
    try {
      const answer = await fetch(this.#address, {
        headers: { Accept: "application/json" },
        // Where the server is stopped the hub answers, and it knows only its own token; so it asks for none.
        mode: "no-cors",
        cache: "no-store",
        signal: AbortSignal.timeout(TIMEOUT),
      });
      if (answer.status === 204) return "good"; // no other page answers so
      const shown = new URL(answer.url).pathname;
      if ([401, 403].includes(answer.status) || shown.endsWith("/hub/login")) return "loggedout";
      return answer.status === 424 ? "stopped" : "cut"; // 404 and 503 come from a proxy that just started, too
    } catch {
      return "cut";
    }
  }
}

/** Return the line of this browser tab: the one of the page around this frame, where that has one. */
export function getLine(base) {
  try {
    if (window.parent.mlabhubLine) return window.parent.mlabhubLine;
  } catch {
    // a page of another origin is around ours: we ask for ourselves
  }
  window.mlabhubLine ??= new Line(base);
  return window.mlabhubLine;
}
