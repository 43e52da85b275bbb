// The websocket below noVNC, with what noVNC does not ask of one: how long the line takes to answer, and since when it
// is silent. Text messages are ours (the server sends them back as they are) and never reach the desktop; binary ones
// are the desktop's.

const TICK = 500;
const ASK_EVERY = 5000; // while nothing moves
const ASK_BUSY = 1500; // while something is drawn or typed
const BUSY = 3000;

// An extended clipboard message of the client that hands text over: type 6, and "provide" among its flags.
const CLIPBOARD = 6;
const FLAGS_AT = 8;
const PROVIDE = 0x10;

export class Channel extends EventTarget {
  // noVNC looks for these by name.
  onopen = null;
  onmessage = null;
  onclose = null;
  onerror = null;

  constructor(url) {
    super();
    this.socket = new WebSocket(url);
    this.socket.binaryType = "arraybuffer";
    this.heard = performance.now(); // when anything arrived last
    this.moved = this.heard; // when the desktop's own bytes went either way
    this.asked = null; // when the question was sent that is not answered yet
    this.next = this.heard;
    this.socket.onopen = (event) => this.#opened(event);
    this.socket.onmessage = (event) => this.#arrived(event);
    this.socket.onerror = (event) => this.onerror?.(event);
    this.socket.onclose = (event) => this.#closed(event);
  }

  get readyState() {
    return this.socket.readyState;
  }

  get protocol() {
    return this.socket.protocol;
  }

  get binaryType() {
    return this.socket.binaryType;
  }

  set binaryType(type) {
    this.socket.binaryType = type;
  }

  // How long a question has been open without a sign of life, in milliseconds; 0 when nothing is owed.
  get silence() {
    return this.asked === null ? 0 : performance.now() - Math.max(this.asked, this.heard);
  }

  send(data) {
    this.#move();
    this.socket.send(data);
    if (data[0] === CLIPBOARD && data.length > FLAGS_AT && data[FLAGS_AT] & PROVIDE) {
      this.dispatchEvent(new Event("clipboardtaken"));
    }
  }

  close() {
    clearInterval(this.timer);
    this.socket.close();
  }

  // Ask the server for a sign of life now.
  ask() {
    if (this.asked === null && this.socket.readyState === WebSocket.OPEN) {
      this.asked = performance.now();
      this.socket.send("echo");
    }
  }

  #opened(event) {
    this.heard = performance.now();
    this.timer = setInterval(() => this.#tick(), TICK);
    this.onopen?.(event);
  }

  #tick() {
    const now = performance.now();
    if (!document.hidden && now >= this.next) {
      this.ask();
    }
    this.dispatchEvent(new Event("tick"));
  }

  #arrived(event) {
    const now = performance.now();
    this.heard = now;
    if (typeof event.data === "string") {
      const took = now - this.asked;
      this.asked = null;
      this.next = now + (now - this.moved < BUSY ? ASK_BUSY : ASK_EVERY);
      this.dispatchEvent(new CustomEvent("answer", { detail: took }));
      return;
    }
    this.#move();
    this.onmessage?.(event);
  }

  // Something is drawn or typed: ask sooner.
  #move() {
    this.moved = performance.now();
    this.next = Math.min(this.next, this.moved + ASK_BUSY);
  }

  #closed(event) {
    clearInterval(this.timer);
    this.onclose?.(event);
  }
}
