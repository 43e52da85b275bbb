/* The GPU is being given back: what is open is saved, the server is told so, and the person why.

Guarantees: an order is carried out, and told, once in a page; a server that could not be told of it is told again,
after what has changed meanwhile was saved. */

import type { Page } from "./page.js";
import { named } from "./phrases.js";
import type { IdleServer } from "./server.js";
import type { Order } from "./status.js";
import type { Tell } from "./toasts.js";

export class Orders {
  /** Which order is carried out, or is being so; and which one the person was told of. */
  #done: number | null = null;
  #told: number | null = null;

  constructor(
    private readonly page: Page,
    private readonly server: Pick<IdleServer, "savedDocuments">,
    private readonly saveAll: () => Promise<string[]>,
    private readonly tell: Tell,
  ) {
    page.changed.connect(() => {
      const order = page.status?.order;
      if (order && order.until !== this.#done) void this.#carryOut(order);
    });
  }

  async #carryOut(order: Order): Promise<void> {
    this.#done = order.until;
    const unsaved = await this.saveAll();
    if (this.#told !== order.until) this.#say(order, unsaved);
    this.#told = order.until;
    try {
      await this.server.savedDocuments();
    } catch {
      this.#done = null; // with the next status
    }
  }

  #say(order: Order, unsaved: string[]): void {
    const { say, language } = this.page;
    const reason = order.reason[language];
    if (unsaved.length) this.tell.wrong(say("orderedUnsaved", { reason, paths: named(unsaved, say) }));
    else this.tell.news(say("ordered", { reason }));
  }
}
