// Units of static/line.js and static/use.js, by Node's own test runner: when they ask, and when not.
import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

const SECOND = 1000;
let asked = 0;
let answer = () => ({ status: 204, url: "http://here/user/alice/mlabhub/api/alive" });

class Page extends EventTarget {
  hidden = false;
  cookie = "_xsrf=1";
}

beforeEach(() => {
  asked = 0;
  const page = new Page();
  const events = new EventTarget();
  Object.assign(globalThis, {
    document: page,
    location: { href: "http://here/user/alice/lab" },
    fetch: async () => {
      asked += 1;
      return answer();
    },
    window: events,
    addEventListener: events.addEventListener.bind(events),
  });
  Math.random = () => 0;
});

const away = () => {
  throw new TypeError("no line");
};
const there = () => ({ ok: true, status: 204, url: "http://here/user/alice/mlabhub/api/alive" });

async function pass(context, seconds) {
  for (let second = 0; second < seconds; second += 1) {
    context.mock.timers.tick(SECOND);
    for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
  }
}

async function makeLine(context) {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  AbortSignal.timeout = () => new AbortController().signal;
  const { Line } = await import("./line.js");
  return new Line("http://here/user/alice/");
}

test("a heartbeat every ten seconds, and none while the tab is hidden", async (context) => {
  answer = there;
  await makeLine(context);
  await pass(context, 60);
  assert.ok(asked >= 5 && asked <= 6, `${asked} in a minute`);
  document.hidden = true;
  await pass(context, 10);
  asked = 0;
  await pass(context, 600);
  assert.equal(asked, 0);
});

test("in a hidden tab whatever waits for a cut line goes on within a minute or so", async (context) => {
  answer = away;
  const line = await makeLine(context);
  document.hidden = true;
  let went = false;
  line.good().then(() => (went = true));
  await pass(context, 200);
  assert.equal(line.state, "cut");
  assert.ok(asked >= 3 && asked <= 6, `${asked} in three minutes`);
  answer = there;
  await pass(context, 62);
  assert.ok(went);
  asked = 0;
  await pass(context, 300);
  assert.equal(asked, 0, "nothing waits any more");
});

test("a login that ended is no good line", async (context) => {
  answer = () => ({ status: 200, url: "http://here/hub/login" });
  const line = await makeLine(context);
  const said = [];
  for (const name of ["cut", "back", "loggedout", "stopped"]) line.addEventListener(name, () => said.push(name));
  let went = false;
  line.good().then(() => (went = true));
  await pass(context, 5);
  answer = () => ({ status: 424, url: "http://here/user/alice/mlabhub/api/alive" });
  await pass(context, 5);
  assert.equal(went, false);
  answer = there;
  await pass(context, 5);
  assert.deepEqual([said, went], [["loggedout", "stopped", "back"], true]);
});

test("use is told at once, then every ten seconds, whatever is done to the clock", async () => {
  answer = there;
  let now = 0;
  performance.now = () => now;
  const { reportUse } = await import("./use.js");
  const reporter = reportUse("http://here/touched");
  await reporter.now();
  assert.equal(asked, 1);
  const isDone = Date.now;
  Date.now = () => isDone() - 3600 * SECOND;
  for (let second = 1; second <= 30; second += 1) {
    now = second * SECOND;
    const moved = Object.assign(new Event("pointermove"), { movementX: 1 });
    Object.defineProperty(moved, "isTrusted", { value: true });
    window.dispatchEvent(moved);
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.equal(asked, 4);
});
