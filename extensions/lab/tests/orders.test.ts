import assert from "node:assert/strict";
import { test } from "node:test";

import { Orders } from "../src/idle/orders.js";
import { Page } from "../src/idle/page.js";
import { readStatus } from "../src/idle/status.js";

const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

class Told {
  readonly said: string[] = [];
  well = (text: string): void => void this.said.push(`well: ${text}`);
  news = (text: string): void => void this.said.push(`news: ${text}`);
  wrong = (text: string): void => void this.said.push(`wrong: ${text}`);
}

interface Made {
  take: (order: object | null) => Promise<void>;
  told: Told;
  did: { saves: number; posts: number };
}

/** A page, what its person was told, and how often it saved and said so; the first `deaf` attempts to say so fail. */
function make(unsaved: string[], deaf = 0): Made {
  const [page, told, did] = [new Page("en"), new Told(), { saves: 0, posts: 0 }];
  const server = {
    async savedDocuments() {
      did.posts += 1;
      if (did.posts <= deaf) throw new Error("away");
    },
  };
  const saveAll = async (): Promise<string[]> => {
    did.saves += 1;
    return unsaved;
  };
  new Orders(page, server, saveAll, told);
  const take = async (order: object | null): Promise<void> => {
    page.take(readStatus({ verdict: "stop", order }));
    await settle();
  };
  return { take, told, did };
}

const ORDER = { until: 2000, reason: { en: "It was idle for 40 min." } };
const DONE = "news: All open documents are saved. This server goes on without a GPU. It was idle for 40 min.";

test("an order is carried out and told once", async () => {
  const { take, told, did } = make([]);
  for (const order of [null, ORDER, ORDER, null, ORDER]) await take(order);
  assert.deepEqual(did, { saves: 1, posts: 1 });
  assert.deepEqual(told.said, [DONE]);
  await take({ ...ORDER, until: 3000 });
  assert.deepEqual(did, { saves: 2, posts: 2 });
  assert.equal(told.said.length, 2);
});

test("a server that could not be told is told again, and the person is not", async () => {
  const { take, told, did } = make([], 2);
  for (let times = 0; times < 5; times += 1) await take(ORDER);
  assert.deepEqual(did, { saves: 3, posts: 3 });
  assert.deepEqual(told.said, [DONE]);
});

test("what could not be saved is named first", async () => {
  const { take, told, did } = make(["work/read-only.ipynb"]);
  await take(ORDER);
  assert.deepEqual(told.said, [
    "wrong: Not saved: read-only.ipynb. This server goes on without a GPU. It was idle for 40 min.",
  ]);
  assert.deepEqual(did, { saves: 1, posts: 1 });
});
