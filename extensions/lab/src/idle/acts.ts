/* What a person asks for: keep, or release. Guarantee: nothing is released before everything open is saved. */

import { Dialog, showDialog } from "@jupyterlab/apputils";

import type { Page } from "./page.js";
import { named } from "./phrases.js";
import type { Poller } from "./polling.js";
import { Refused, type IdleServer } from "./server.js";
import type { Tell } from "./toasts.js";

/** As long as one keeps a server at a time, where the policy lets one. */
const KEPT = 2 * 3600;

export class Acts {
  constructor(
    private readonly page: Page,
    private readonly server: IdleServer,
    private readonly poller: Poller,
    private readonly saveAll: () => Promise<string[]>,
    private readonly tell: Tell,
  ) {}

  /** Seconds for which "keep" keeps. */
  get keptFor(): number {
    return Math.min(KEPT, this.page.status?.keepMost ?? 0);
  }

  get canKeep(): boolean {
    return this.keptFor > 0 && (this.page.status?.keepLeft ?? 0) > 0;
  }

  /** Keep the server; return what came of it, in a sentence, and whether it was kept. */
  async keep(reason: string): Promise<[string, boolean]> {
    try {
      this.page.take(await this.server.keep(this.keptFor, reason.trim()));
    } catch (error) {
      return [this.#why(error), false];
    }
    return [this.page.say("kept"), true];
  }

  /** Ask whether that is meant, save, release; return what came of it. Null: it was not meant. */
  async release(): Promise<[string, boolean] | null> {
    const { say } = this.page;
    const answer = await showDialog({
      title: say("release"),
      body: say("releaseAsk"),
      buttons: [Dialog.cancelButton({ label: say("cancel") }), Dialog.warnButton({ label: say("release") })],
    });
    if (!answer.button.accept) return null;
    const unsaved = await this.saveAll();
    if (unsaved.length) return [say("releaseUnsaved", { paths: named(unsaved, say) }), false];
    try {
      await this.server.release();
    } catch (error) {
      return [this.#why(error), false];
    }
    void this.poller.hurry();
    return [say("released"), true];
  }

  /** Say on the screen what came of it. */
  async report(act: Promise<[string, boolean] | null>): Promise<void> {
    const came = await act;
    if (came === null) return;
    const [said, well] = came;
    if (well) this.tell.well(said);
    else this.tell.wrong(said);
  }

  #why(error: unknown): string {
    const said = error instanceof Refused ? error.message : "";
    return this.page.say("failed", { why: said || this.page.say("noAnswer") });
  }
}
