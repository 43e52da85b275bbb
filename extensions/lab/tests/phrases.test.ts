import assert from "node:assert/strict";
import { test } from "node:test";

import { item, keepsLeft, named, notice, quotaLong, span } from "../src/idle/phrases.js";
import { readStatus, type Status } from "../src/idle/status.js";
import { speak } from "../src/idle/words.js";
import { chooseLanguage } from "../src/languages.js";

const say = speak("en");
const ANSWER = {
  verdict: "idle",
  age: 3,
  due_in: 22.5 * 60,
  gpu: { count: 1, percent: 37.4, memory_used: 61 * 2 ** 30, memory_total: 80 * 2 ** 30 },
  quota: { group: "vision", used: 14, guaranteed: 24, limit: 64 },
};
const shown = (more: object, since = 0): string => item(readStatus({ ...ANSWER, ...more }) as Status, since, say);

test("the item says what is known", () => {
  assert.equal(shown({}), "GPU 37 % · 61 of 80 GB · idle in 22 min · vision 14/24");
  assert.equal(shown({}, 60), "GPU 37 % · 61 of 80 GB · idle in 21 min · vision 14/24");
  assert.equal(shown({ verdict: "active", due_in: null, quota: null }), "GPU 37 % · 61 of 80 GB · at work");
  assert.equal(
    shown({ verdict: "warned", deadline_in: 40, gpu: null, cpu_cores: 1.25 }),
    "1.3 cores in use · stops in 40 s · vision 14/24",
  );
});

test("what is not known is never a number", () => {
  const gpu = { count: 2, percent: null, memory_used: null, memory_total: null };
  assert.equal(shown({ gpu, verdict: "unknown", quota: null }), "2 GPUs not measured · use not known");
  const odd = { count: 1, percent: "NaN" };
  assert.equal(shown({ gpu: odd, quota: { group: "vision" } }), "GPU not measured · idle in 22 min");
  assert.equal(shown({ gpu: null, quota: null }), "CPU not measured · idle in 22 min");
  assert.equal(shown({ quota: { group: "vision", used: 3, guaranteed: null } }).endsWith("vision 3"), true);
  assert.equal(shown({ age: null }), "use not known yet");
  assert.equal(shown({ age: 100 }, 200), "use not known for 5 min");
});

test("an answer of another kind is none", () => {
  for (const answer of [null, 3, [], {}, { verdict: "fine" }]) assert.equal(readStatus(answer), null);
  const status = readStatus({ verdict: "idle", page: "//elsewhere", warning: {}, order: 1, keep: { left: "2" } });
  assert.deepEqual([status?.page, status?.warning, status?.order, status?.keepLeft], [null, null, null, 0]);
});

test("spans are rounded down, as the service does", () => {
  const said = [-5, 59, 60, 3599, 3600, 7500, 2 * 86400].map((seconds) => span(seconds, say));
  assert.deepEqual(said, ["0 s", "59 s", "1 min", "59 min", "1 h", "2 h 5 min", "2 days"]);
});

test("how often a server may be kept, and the quota, in sentences", () => {
  assert.deepEqual([0, 1, 2].map((left) => keepsLeft(left, say)), [
    "It cannot be kept any more: use it, or save your work.",
    "It can be kept once more.",
    "It can be kept 2 more times.",
  ]);
  assert.equal(quotaLong({ group: "a", used: 1, guaranteed: null, limit: null }, say), "a holds 1 GPU.");
  const limited = { group: "a", used: 2.5, guaranteed: 4, limit: 8 };
  assert.equal(quotaLong(limited, say), "a holds 2.5 GPUs; 4 guaranteed to it, 8 at most.");
  assert.equal(quotaLong(limited, speak("zh_CN")), "a 占用 2.5 块 GPU；保证给它 4 块，最多 8 块。");
});

test("a notification says the title alone where not all of it fits", () => {
  assert.equal(notice("Idle", "Stopped soon."), "Idle\nStopped soon.");
  assert.equal(notice("Idle", "x".repeat(140)), "Idle");
});

test("files that could not be saved are named as far as a notification has room for them", () => {
  assert.equal(named(["work/a.ipynb", "b.py"], say), "a.ipynb, b.py");
  assert.equal(named(["1234567890", "234567890", "3", "4"], say, 21), "1234567890, 234567890 and 2 more");
  assert.equal(named([`work/${"x".repeat(90)}.ipynb`], say), `${"x".repeat(49)}…`);
  assert.equal(named(["a", "b"], speak("zh_CN"), 1), "a 及另外 1 个文件");
});

test("the language: JupyterLab's, the cookie's, the browser's", () => {
  assert.equal(chooseLanguage("zh_CN", "", ["en"]), "zh_CN");
  assert.equal(chooseLanguage("en", "a=b; mlabhub-language=zh_CN", ["en-GB"]), "zh_CN");
  assert.equal(chooseLanguage("en", "mlabhub-language=en", ["zh-CN"]), "en");
  assert.equal(chooseLanguage("en", "", ["fr", "zh-Hans-CN", "en"]), "zh_CN");
  assert.equal(chooseLanguage("fr_FR", "", ["de"]), "en");
});
