import assert from "node:assert/strict";
import { beforeEach, test, type TestContext } from "node:test";

import { EVERY, HIDDEN, HURRIED, pauseAt, Poller } from "../src/idle/polling.js";

class Document extends EventTarget {
  hidden = false;
}

let page: Document;
let clock: number;

beforeEach(() => {
  page = new Document();
  clock = 0;
  Object.assign(globalThis, { document: page });
});

/** Let so many seconds pass, one by one, with what each of them brings. */
async function pass(context: TestContext, seconds: number): Promise<void> {
  for (let second = 0; second < seconds; second += 1) {
    clock += 1000;
    context.mock.timers.tick(1000);
    for (let turn = 0; turn < 5; turn += 1) await Promise.resolve();
  }
}

function start(context: TestContext, ask: () => Promise<void>, pressing: () => boolean = () => false): Poller {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const poller = new Poller(ask, pressing, () => clock);
  poller.start();
  return poller;
}

test("pauses: seldom where nobody looks, longer after failures", () => {
  const calm = { failures: 0, hidden: false, pressing: false, hurried: false };
  assert.equal(pauseAt(calm), EVERY);
  assert.equal(pauseAt({ ...calm, hidden: true }), HIDDEN);
  assert.equal(pauseAt({ ...calm, hidden: true, pressing: true }), EVERY);
  assert.equal(pauseAt({ ...calm, hurried: true }), HURRIED);
  assert.deepEqual([1, 2, 9].map((failures) => pauseAt({ ...calm, failures })), [EVERY, 2 * EVERY, 300_000]);
});

test("it asks twice a minute, seldom where nobody looks, and at once when somebody does", async (context) => {
  let asked = 0;
  start(context, async () => void (asked += 1));
  await pass(context, 150);
  assert.ok(asked >= 5 && asked <= 6, `asked ${asked} times`);
  page.hidden = true;
  await pass(context, 60); // what was planned before
  asked = 0;
  await pass(context, 600);
  assert.ok(asked >= 1 && asked <= 2, `asked ${asked} times while hidden`);
  page.hidden = false;
  page.dispatchEvent(new Event("visibilitychange"));
  await pass(context, 1);
  assert.ok(asked <= 3);
});

test("one question at a time, however many want to know", async (context) => {
  let answer = (): void => {};
  let asked = 0;
  const poller = start(context, () => new Promise((resolve) => ((asked += 1), (answer = resolve))));
  const both = [poller.now(), poller.now(), poller.hurry()];
  await pass(context, 90);
  assert.equal(asked, 1);
  answer();
  await Promise.all(both);
  await pass(context, 4);
  assert.equal(asked, 2, "it hurries");
});

test("what presses in a hidden page is noticed before the long pause is over", async (context) => {
  let [asked, pressing] = [0, false];
  page.hidden = true;
  start(context, async () => void (asked += 1), () => pressing);
  await pass(context, 40);
  assert.equal(asked, 1);
  pressing = true;
  await pass(context, 60);
  assert.ok(asked >= 2);
});
