/* The GPU is being given back: what is open is saved, the server is told so, and the person why.

Guarantee: an order is carried out once in a page; a server that could not be told is told again. */

import { Notification } from "@jupyterlab/apputils";

import type { Page } from "./page.js";
import type { IdleServer } from "./server.js";
import type { Order } from "./status.js";

export class Orders {
  #until: number | null = null;

  constructor(
    private readonly page: Page,
    private readonly server: IdleServer,
    private readonly saveAll: () => Promise<string[]>,
  ) {
    page.changed.connect(() => {
      const order = page.status?.order;
      if (order && order.until !== this.#until) void this.#carryOut(order);
    });
  }

  async #carryOut(order: Order): Promise<void> {
    const { say, language } = this.page;
    const first = this.#until !== order.until;
    this.#until = order.until;
    const unsaved = await this.saveAll();
    const told = this.server.savedDocuments().catch(() => {
      this.#until = null; // with the next status
    });
    if (first) {
      const values = { reason: order.reason[language], paths: unsaved.join(", ") };
      if (unsaved.length) Notification.error(say("orderedUnsaved", values), { autoClose: false });
      else Notification.info(say("ordered", values), { autoClose: false });
    }
    await told;
  }
}
