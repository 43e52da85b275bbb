/* Websockets and requests of JupyterLab that outlast a cut line.

JupyterLab notices only a connection that is closed; it gives a kernel up after some failures, and what was sent into a
dead connection is lost. `lastingWebSocket(line)` is a class that JupyterLab takes in place of `WebSocket`: it stays
open for JupyterLab while the connection beneath is cut, is made anew as soon as the line is back, and goes on where it
was. Guarantee for kernels of a server that numbers and keeps messages (`mlabhub_proxies.kernels`): each message, either
way, arrives once and in order. Terminals are drawn anew by the server. `lastingFetch(line)` waits for the line where
asking twice does no harm, so that a save made in a tunnel is a late save, and no alarming dialogs pile up. */

import type { Line } from "./line.js";

const LEFT = 4000; // closed by us, to come back
const TRIES = 4;

const wait = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));

type Sent = Parameters<WebSocket["send"]>[0];
type Heard<E extends Event> = ((event: E) => unknown) | null;

/** `numbers`: the server numbers the messages of kernels; it does not where the site chose another class for them. */
export function lastingWebSocket(line: Line, numbers: boolean): typeof WebSocket {
  class LastingWebSocket extends EventTarget {
    static readonly CONNECTING = 0;
    static readonly OPEN = 1;
    static readonly CLOSING = 2;
    static readonly CLOSED = 3;
    readonly CONNECTING = 0;
    readonly OPEN = 1;
    readonly CLOSING = 2;
    readonly CLOSED = 3;

    readonly url: string;
    binaryType: BinaryType = "blob";
    extensions = "";
    protocol = "";
    readyState: number = LastingWebSocket.CONNECTING;
    onopen: Heard<Event> = null;
    onmessage: Heard<MessageEvent> = null;
    onclose: Heard<CloseEvent> = null;
    onerror: Heard<Event> = null;

    readonly #protocols: string | string[];
    #numbered: boolean;
    readonly #id = crypto.randomUUID?.() ?? String(Math.random()).slice(2);
    #socket: WebSocket | null = null;
    #ready = false; // the server has said what it has, so sending may go on
    #seen = 0; // messages that came
    #unsaid: Sent[] = []; // messages of JupyterLab that the server has not confirmed
    #confirmed = 0; // messages before those
    #tries = 0;
    readonly #onCut = (): void => void this.#again();

    constructor(url: string | URL, protocols: string | string[] = []) {
      super();
      this.url = String(url);
      this.#protocols = protocols;
      this.#numbered = numbers && new URL(this.url).pathname.includes("/api/kernels/");
      line.addEventListener("cut", this.#onCut);
      this.#connect();
    }

    get bufferedAmount(): number {
      return this.#socket?.bufferedAmount ?? 0;
    }

    send(data: Sent): void {
      if (this.readyState !== LastingWebSocket.OPEN) return;
      if (this.#numbered || !this.#ready) this.#unsaid.push(data);
      if (this.#ready) this.#socket?.send(data);
    }

    close(code?: number, reason?: string): void {
      if (this.readyState === LastingWebSocket.CLOSED) return;
      const socket = this.#leave();
      socket?.close(code, reason);
      this.#end(new CloseEvent("close", { code: code ?? 1005, reason: reason ?? "", wasClean: true }));
    }

    #connect(): void {
      const url = new URL(this.url);
      if (this.#numbered) {
        url.searchParams.set("mlabhub_socket", this.#id);
        url.searchParams.set("mlabhub_seen", String(this.#seen));
      }
      const socket = new WebSocket(url, this.#protocols);
      this.#socket = socket;
      socket.binaryType = "arraybuffer";
      socket.onopen = () => {
        this.#numbered &&= socket.protocol !== ""; // the old protocol has no room for numbers
        if (!this.#numbered) this.#open();
      };
      socket.onmessage = (event) => this.#take(event.data);
      socket.onclose = (event) => {
        if (event.code !== 1000 && event.code !== 1001) return void this.#again();
        this.#leave();
        this.#end(event);
      };
    }

    #open(): void {
      this.#ready = true;
      this.#tries = 0;
      for (const data of this.#numbered ? this.#unsaid : this.#unsaid.splice(0)) this.#socket?.send(data);
      if (this.readyState !== LastingWebSocket.CONNECTING) return;
      this.readyState = LastingWebSocket.OPEN;
      this.protocol = this.#socket?.protocol ?? "";
      this.#say(new Event("open"));
    }

    #take(data: string | ArrayBuffer): void {
      if (this.#numbered && typeof data === "string") {
        return this.#confirm((JSON.parse(data) as { taken: number }).taken);
      }
      this.#seen += 1;
      this.#say(new MessageEvent("message", { data }));
    }

    /** The server has so many of our messages; after a break, this is what it says first. */
    #confirm(taken: number): void {
      this.#unsaid.splice(0, Math.max(0, taken - this.#confirmed));
      this.#confirmed = taken;
      if (!this.#ready) this.#open();
    }

    /** Forget the connection beneath. */
    #leave(): WebSocket | null {
      const socket = this.#socket;
      if (socket) socket.onopen = socket.onmessage = socket.onclose = null;
      this.#socket = null;
      this.#ready = false;
      return socket;
    }

    /** Connect anew once the line is good; give up only where the line is good and the server refuses. */
    async #again(): Promise<void> {
      const socket = this.#leave();
      if (!socket) return; // already at it
      socket.close(LEFT);
      this.#tries += 1;
      await wait(Math.random() * 500 * this.#tries);
      await line.good();
      if (this.readyState === LastingWebSocket.CLOSED) return;
      if (this.#tries < TRIES) return this.#connect();
      this.#say(new Event("error"));
      this.#end(new CloseEvent("close", { code: 1006 }));
    }

    #end(event: CloseEvent): void {
      line.removeEventListener("cut", this.#onCut);
      this.readyState = LastingWebSocket.CLOSED;
      this.#say(new CloseEvent("close", event));
    }

    #say(event: Event): void {
      const heard = { open: this.onopen, message: this.onmessage, close: this.onclose, error: this.onerror };
      (heard[event.type as keyof typeof heard] as Heard<Event>)?.(event);
      this.dispatchEvent(event);
    }
  }
  return LastingWebSocket as unknown as typeof WebSocket;
}

const REPEATABLE = ["GET", "HEAD", "PUT"];

export function lastingFetch(line: Line): typeof fetch {
  /** Return a signal that ends a request which hangs in a cut line: it would take one of the browser's few places. */
  const whileGood = (request: Request): { signal: AbortSignal; done: () => void } => {
    const control = new AbortController();
    const abort = (): void => control.abort();
    line.addEventListener("cut", abort);
    const done = (): void => line.removeEventListener("cut", abort);
    return { signal: AbortSignal.any([request.signal, control.signal]), done };
  };

  /** Wait until the line is good; throw as `fetch` does if the request is called off meanwhile. */
  const good = async ({ signal }: Request): Promise<void> => {
    signal.throwIfAborted();
    let callOff = (): void => {};
    const calledOff = new Promise<never>((_, reject) => {
      callOff = () => reject(signal.reason);
      signal.addEventListener("abort", callOff);
    });
    try {
      await Promise.race([line.good(), calledOff]);
    } finally {
      signal.removeEventListener("abort", callOff);
    }
  };

  /** Does the answer come from the server itself, and not from a proxy that cannot reach it yet? */
  const isOwn = (answer: Response): boolean =>
    ![404, 502, 503, 504].includes(answer.status) ||
    (answer.headers.get("Content-Type") ?? "").startsWith("application/json");

  return async (input, init) => {
    const request = new Request(input, init);
    if (line.state === "cut") await good(request);
    if (!REPEATABLE.includes(request.method)) return fetch(request);
    for (let tries = 1; ; tries += 1) {
      const { signal, done } = whileGood(request);
      try {
        const answer = await fetch(request.clone(), { signal });
        if (isOwn(answer) || tries >= TRIES) return answer;
      } catch (error) {
        if (request.signal.aborted || tries >= TRIES) throw error;
      } finally {
        done();
      }
      await wait(Math.random() * 500 * tries);
      await good(request);
    }
  };
}
