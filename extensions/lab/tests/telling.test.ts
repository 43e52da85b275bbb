import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

/** What the browser has shown, and what it allows. */
let shown: string[] = [];

class FakeNotification {
  static permission = "default";
  static grants = "granted";
  onclick = (): void => {};

  constructor(
    private readonly title: string,
    { tag, body }: { tag: string; body: string },
  ) {
    shown.push(`${tag}: ${title} ${body}`);
  }

  static async requestPermission(): Promise<void> {
    shown.push("asked");
    FakeNotification.permission = FakeNotification.grants;
  }

  close(): void {
    shown.push(`closed ${this.title}`);
  }
}

const kept = new Map<string, string>();
const open = {
  getItem: (key: string) => kept.get(key) ?? null,
  setItem: (key: string, text: string) => kept.set(key, text),
};
const closed = {
  getItem: (): never => {
    throw new Error("closed");
  },
  setItem: (): never => {
    throw new Error("closed");
  },
};

Object.assign(globalThis, { window: { Notification: FakeNotification, focus() {} }, Notification: FakeNotification });
const { Telling } = await import("../src/idle/telling.js");

beforeEach(() => {
  shown = [];
  kept.clear();
  Object.assign(FakeNotification, { permission: "default", grants: "granted" });
  Object.assign(globalThis, { localStorage: open });
});

test("the browser is asked for its leave once, and only when it is switched on", async () => {
  const telling = new Telling();
  telling.tell("Idle", "Soon.", "one")();
  await telling.turn(false);
  assert.deepEqual([telling.on, shown], [false, []]);
  await telling.turn(true);
  await telling.turn(true);
  assert.deepEqual([telling.on, shown], [true, ["asked"]]);
  telling.tell("Idle", "Soon.", "one")();
  assert.deepEqual(shown.slice(1), ["one: Idle Soon.", "closed Idle"]);
  assert.equal(new Telling().on, true, "another page of this browser has it on, too");
});

test("a browser that does not allow it shows nothing", async () => {
  FakeNotification.grants = "denied";
  const telling = new Telling();
  await telling.turn(true);
  telling.tell("Idle", "Soon.", "one")();
  assert.deepEqual([telling.on, telling.denied, shown], [false, true, ["asked"]]);
});

test("without storage it is on for this page alone", async () => {
  Object.assign(globalThis, { localStorage: closed });
  const telling = new Telling();
  assert.equal(telling.on, false);
  await telling.turn(true);
  assert.deepEqual([telling.on, new Telling().on], [true, false]);
});
