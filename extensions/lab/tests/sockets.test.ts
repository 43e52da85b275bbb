import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import type { Line } from "../src/lasting/line.js";
import { lastingFetch, lastingWebSocket } from "../src/lasting/sockets.js";

/** A line that is good until it is cut, and good again when a test says so. */
class FakeLine extends EventTarget implements Line {
  state: Line["state"] = "good";
  listeners = 0;

  override addEventListener(...given: Parameters<EventTarget["addEventListener"]>): void {
    this.listeners += 1;
    super.addEventListener(...given);
  }

  override removeEventListener(...given: Parameters<EventTarget["removeEventListener"]>): void {
    this.listeners -= 1;
    super.removeEventListener(...given);
  }

  async good(): Promise<void> {
    if (this.state === "good") return;
    await new Promise((resolve) => super.addEventListener("back", resolve, { once: true }));
  }

  turn(state: Line["state"]): void {
    this.state = state;
    this.dispatchEvent(new Event(state === "good" ? "back" : state));
  }
}

/** A connection beneath; what a server does with it, the test says. */
class FakeSocket {
  static made: FakeSocket[] = [];
  binaryType = "blob";
  bufferedAmount = 0;
  protocol = "v1.kernel.websocket.jupyter.org";
  readonly sent: unknown[] = [];
  closedWith: number | undefined;
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: ((event: CloseEvent) => void) | null = null;

  constructor(readonly url: URL) {
    FakeSocket.made.push(this);
  }

  send(data: unknown): void {
    this.sent.push(data);
  }

  close(code?: number): void {
    this.closedWith = code ?? 1005;
  }

  take(count: number): void {
    this.onmessage?.({ data: JSON.stringify({ taken: count }) });
  }

  breaks(code = 1006): void {
    this.onclose?.(new CloseEvent("close", { code }));
  }
}

/** Node 20 has no such event. */
class FakeCloseEvent extends Event {
  readonly code: number;

  constructor(type: string, { code = 1005 }: { code?: number } = {}) {
    super(type);
    this.code = code;
  }
}

const KERNEL = "ws://here/user/alice/api/kernels/1/channels";
const TERMINAL = "ws://here/user/alice/terminals/websocket/1";
let line: FakeLine;

const last = (): FakeSocket => FakeSocket.made.at(-1) as FakeSocket;
const seenOf = (socket: FakeSocket): string | null => socket.url.searchParams.get("mlabhub_seen");

async function until(fits: () => boolean): Promise<void> {
  for (let tries = 0; !fits(); tries += 1) {
    assert.ok(tries < 1000, "it does not happen");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

function open(url: string, numbers = true): { socket: WebSocket; heard: unknown[] } {
  const socket = new (lastingWebSocket(line, numbers))(url);
  const heard: unknown[] = [];
  socket.onopen = () => heard.push("open");
  socket.onmessage = ({ data }) => heard.push(data);
  socket.onclose = ({ code }) => heard.push(code);
  return { socket, heard };
}

beforeEach(() => {
  line = new FakeLine();
  FakeSocket.made = [];
  // A pause of half a second at most is none here.
  Object.assign(globalThis, { WebSocket: FakeSocket, CloseEvent: FakeCloseEvent });
  Math.random = () => 0;
});

test("a kernel's messages arrive once and in order over a line that is cut", async () => {
  const { socket, heard } = open(KERNEL);
  last().onopen?.();
  assert.deepEqual(heard, [], "the server has not said what it has");
  last().take(0);
  socket.send("a");
  socket.send("b");
  last().onmessage?.({ data: new ArrayBuffer(1) });
  last().take(1);
  const first = last();
  line.turn("cut");
  socket.send("c");
  assert.equal(first.closedWith, 4000);
  assert.equal(FakeSocket.made.length, 1, "nobody connects while the line is cut");
  line.turn("good");
  await until(() => FakeSocket.made.length === 2);
  assert.equal(seenOf(last()), "1");
  last().onopen?.();
  assert.deepEqual(last().sent, []);
  last().take(1);
  assert.deepEqual(last().sent, ["b", "c"]);
  assert.equal(heard.length, 2, "JupyterLab has seen it open once, and one message");
  assert.equal(socket.readyState, 1);
  last().take(3);
  last().breaks();
  await until(() => FakeSocket.made.length === 3);
  last().take(3);
  assert.deepEqual(last().sent, [], "what was confirmed is not kept");
});

test("kernels of a server that does not number are passed on as they are", async () => {
  const { socket, heard } = open(KERNEL, false);
  assert.equal(seenOf(last()), null);
  last().onopen?.();
  assert.deepEqual(heard, ["open"]);
  socket.send("a");
  last().onmessage?.({ data: "text of its own" });
  assert.deepEqual([last().sent, heard], [["a"], ["open", "text of its own"]]);
});

test("a server that refuses again and again ends it, and nothing is left on the line", async () => {
  const { heard } = open(TERMINAL);
  for (let tries = 1; tries <= 4; tries += 1) {
    await until(() => FakeSocket.made.length === tries);
    last().breaks();
  }
  await until(() => heard.length === 1);
  assert.deepEqual(heard, [1006]);
  assert.equal(line.listeners, 0);
});

test("closed by JupyterLab while the line is cut, it does not come back", async () => {
  const { socket, heard } = open(TERMINAL);
  last().onopen?.();
  line.turn("cut");
  socket.close();
  line.turn("good");
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(FakeSocket.made.length, 1);
  assert.deepEqual(heard, ["open", 1005]);
  assert.equal(line.listeners, 0);
});

test("what ends well ends", () => {
  const { heard } = open(TERMINAL);
  last().onopen?.();
  last().breaks(1000);
  assert.deepEqual(heard, ["open", 1000]);
  assert.equal(FakeSocket.made.length, 1);
});

/** Answers of the server, one for each request; an error is a line that broke, `null` one that hangs. */
function answer(...answers: (Response | Error | null)[]): Request[] {
  const asked: Request[] = [];
  globalThis.fetch = (async (input: Request, init?: RequestInit) => {
    asked.push(input);
    const next = answers.shift();
    if (next instanceof Error) throw next;
    if (next) return next;
    const signal = init?.signal ?? input.signal;
    return await new Promise((_, reject) => {
      if (signal.aborted) reject(signal.reason as Error);
      signal.addEventListener("abort", () => reject(signal.reason as Error));
    });
  }) as typeof fetch;
  return asked;
}

const answerOf = (status: number, type: string): Response =>
  new Response("", { status, headers: { "Content-Type": type } });
const json = (status: number): Response => answerOf(status, "application/json");
const proxy = (status: number): Response => answerOf(status, "text/html");
const HERE = "http://here/user/alice/api/contents/a.ipynb";

test("a save that hangs in a cut line is made when the line is back", async () => {
  const asked = answer(null, json(200));
  const saved = lastingFetch(line)(HERE, { method: "PUT", body: "all of it" });
  await until(() => asked.length === 1);
  line.turn("cut");
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(asked.length, 1);
  line.turn("good");
  assert.equal((await saved).status, 200);
  assert.equal(await asked[1]?.text(), "all of it");
  assert.equal(line.listeners, 0);
});

test("what a proxy says in the server's place is asked again, and what the server says is not", async () => {
  const asked = answer(proxy(503), proxy(404), json(404));
  assert.equal((await lastingFetch(line)(HERE)).status, 404);
  assert.equal(asked.length, 3);
});

test("what must not be done twice is asked once, and not into a cut line", async () => {
  const asked = answer(new TypeError("broken"));
  line.turn("cut");
  const made = lastingFetch(line)(HERE, { method: "POST" });
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(asked.length, 0);
  line.turn("good");
  await assert.rejects(made, { message: "broken" });
  assert.equal(asked.length, 1);
});

test("a request can be called off: before it is made, in a cut line, and while it hangs", async () => {
  const asked = answer(null);
  const early = new AbortController();
  early.abort();
  await assert.rejects(lastingFetch(line)(HERE, { signal: early.signal }), { name: "AbortError" });
  line.turn("cut");
  const waiting = new AbortController();
  const waits = lastingFetch(line)(HERE, { signal: waiting.signal });
  waiting.abort();
  await assert.rejects(waits, { name: "AbortError" });
  assert.ok(asked.length <= 1);
  line.turn("good");
  answer(null);
  const hanging = new AbortController();
  const hangs = lastingFetch(line)(HERE, { signal: hanging.signal });
  await new Promise((resolve) => setTimeout(resolve, 5));
  hanging.abort();
  await assert.rejects(hangs, { name: "AbortError" });
  assert.equal(line.listeners, 0);
});
