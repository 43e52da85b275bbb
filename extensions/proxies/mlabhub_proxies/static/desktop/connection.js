// One desktop, kept connected: what state the line is in, and how it comes back.
//
// Before each connection the server is asked how its desktop is, so that a websocket is opened only where one will
// answer. A line that says nothing is cut after a few seconds, and left for a new one a little later; a new one is tried
// ever more seldom, and at once when the browser is online again or the page is looked at again.

import RFB from "../vendor/@novnc/novnc/core/rfb.js";

import { ask } from "../ask.js";
import { Channel } from "./channel.js";

const SILENT = 3000; // ms: the line counts as cut, input is held back
const GIVEN_UP = 8000; // ms: it is left for a new one
const ANSWER = 8000; // ms for the server to say how the desktop is
const HANDSHAKE = 10000; // ms for websocket and desktop to agree
const STARTING = 1000; // ms between questions while it starts
const WAITS = [0, 500, 1000, 2000, 4000]; // ms before each attempt in a row, the last again and again
const FORBIDDEN = 3; // connections in a row that end before they stand, with a server that answers all the while

const NOT_RUNNING = 424; // the hub's answer for a server that does not run

export class Connection extends EventTarget {
  constructor({ place, socket, api, watch }) {
    super();
    this.place = place;
    this.socket = socket;
    this.api = api;
    this.watch = watch; // pictures only, no keys and pointer
    this.state = "connecting";
    this.since = Date.now();
    this.rfb = null;
    this.channel = null;
    this.failures = 0; // in a row, of any kind
    this.refused = 0; // in a row, of a websocket
    for (const [where, what] of [[window, "online"], [document, "visibilitychange"], [window, "pageshow"]]) {
      where.addEventListener(what, () => this.hurry());
    }
  }

  get usable() {
    return this.state === "connected" && !this.watch;
  }

  setWatch(watch) {
    this.watch = watch;
    if (this.rfb && this.state === "connected") {
      this.rfb.viewOnly = watch;
    }
  }

  // Try now: ask how the desktop is, and connect when it is there.
  async attempt() {
    window.clearTimeout(this.timer);
    const mine = (this.latest = Symbol("attempt"));
    const found = await this.#look();
    if (mine !== this.latest) {
      return; // Another one began in the meantime.
    }
    if (found === "ready") {
      this.#connect();
    } else if (found === "starting") {
      this.#enter("starting");
      this.timer = window.setTimeout(() => this.attempt(), STARTING);
    } else if (found === "cut") {
      this.failures += 1;
      this.#enter("cut");
      this.#again();
    } else {
      this.#enter(found);
    }
  }

  // Ask the server: ready, starting, ended, failed, login, away, or cut where no answer came.
  async #look() {
    let answer;
    try {
      const signal = AbortSignal.timeout(ANSWER);
      answer = await ask(this.api, { signal });
    } catch {
      return "cut";
    }
    if (answer.status === NOT_RUNNING) {
      return "away";
    }
    if (answer.status === 401 || answer.status === 403) {
      return "login";
    }
    if (!answer.ok) {
      return "cut"; // The server or a proxy before it is being restarted.
    }
    try {
      const { state } = await answer.json();
      return state === "stopped" ? "ended" : state;
    } catch {
      return "login"; // A page in place of the answer: the one to log in with.
    }
  }

  #connect() {
    const channel = new Channel(this.socket);
    const rfb = new RFB(this.place, channel, { shared: true });
    this.channel = channel;
    this.rfb = rfb;
    rfb.focusOnClick = false;
    rfb.viewOnly = this.watch;
    channel.addEventListener("tick", () => this.#watchLine());
    channel.addEventListener("answer", (event) => this.#answered(event.detail));
    rfb.addEventListener("clipboard", ({ detail }) => this.dispatchEvent(new CustomEvent("clipboard", { detail })));
    channel.addEventListener("clipboardtaken", () => this.dispatchEvent(new Event("clipboardtaken")));
    const impatient = window.setTimeout(() => this.#leave(), HANDSHAKE);
    rfb.addEventListener("connect", () => {
      window.clearTimeout(impatient);
      this.failures = 0;
      this.refused = 0;
      channel.ask();
      this.#enter("connected");
    });
    rfb.addEventListener("disconnect", () => {
      window.clearTimeout(impatient);
      if (this.rfb === rfb) {
        this.#lost();
      }
    });
    this.dispatchEvent(new CustomEvent("picture", { detail: rfb }));
  }

  #watchLine() {
    const { silence } = this.channel;
    if (silence > GIVEN_UP) {
      this.#leave();
    } else if (silence > SILENT && this.state === "connected") {
      this.rfb.viewOnly = true; // What is typed into a silent line would arrive who knows when.
      this.#enter("cut");
    }
  }

  #answered(took) {
    if (this.state === "cut") {
      this.rfb.viewOnly = this.watch;
      this.#enter("connected");
    }
    this.dispatchEvent(new CustomEvent("answer", { detail: took }));
  }

  // Leave a line that is silent; what it still brings is of no interest.
  #leave() {
    const rfb = this.rfb;
    if (rfb) {
      this.#lost();
      rfb.disconnect();
    }
  }

  #lost() {
    this.dispatchEvent(new Event("lost"));
    this.rfb = null;
    this.channel = null;
    this.failures += 1;
    this.refused += 1;
    this.#enter(this.refused >= FORBIDDEN ? "blocked" : "cut");
    this.#again();
  }

  #again() {
    const wait = WAITS[Math.min(this.failures, WAITS.length) - 1];
    window.clearTimeout(this.timer);
    this.timer = window.setTimeout(() => this.attempt(), wait * (0.8 + 0.4 * Math.random()));
  }

  // The line may be back, or gone: ask on it where there is one, else try a new one now.
  hurry() {
    if (document.hidden) {
      return;
    }
    if (this.state === "connected") {
      this.channel.ask();
    } else if (this.state !== "connecting" && this.state !== "starting") {
      this.retry();
    }
  }

  // Try a new line now, whatever became of the old one.
  retry() {
    this.#leave();
    this.attempt();
  }

  #enter(state) {
    if (state !== this.state) {
      this.state = state;
      this.since = Date.now();
    }
    this.dispatchEvent(new CustomEvent("state", { detail: state }));
  }
}
