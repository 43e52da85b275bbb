/* A warning that is in force, on the screen.

Guarantees: each is shown once in a page, and stays until it is answered, closed, or holds no more; the service is told
that it was seen only when it is on the screen of a page that is shown, never when it could merely have been. */

import { Notification } from "@jupyterlab/apputils";

import type { Acts } from "./acts.js";
import type { Page } from "./page.js";
import { notice, span } from "./phrases.js";
import { isShown } from "./seen.js";
import type { IdleServer } from "./server.js";
import type { Warning } from "./status.js";
import type { Telling } from "./telling.js";

const LOOKED_AT = 1_000;

export class Warnings {
  #at: number | null = null;
  #id = "";
  #takeBack = (): void => {};
  #looking: ReturnType<typeof setInterval> | undefined;

  constructor(
    private readonly page: Page,
    private readonly server: IdleServer,
    private readonly acts: Acts,
    private readonly telling: Telling,
    private readonly openPanel: () => void,
  ) {
    page.changed.connect(() => this.#heard());
  }

  #heard(): void {
    const { status } = this.page;
    if (status === null) return;
    const at = status.warning?.at ?? null;
    if (at === this.#at) return;
    this.#withdraw();
    this.#at = at;
    if (status.warning !== null) this.#show(status.warning);
  }

  #show(warning: Warning): void {
    const { language } = this.page;
    const [title, body] = [warning.title[language], warning.body[language]];
    this.#id = Notification.warning(notice(title, body), { autoClose: false, actions: this.#actions() });
    this.#takeBack = this.telling.tell(title, body, `mlabhub-idle-${warning.at}`);
    this.#looking = setInterval(() => void this.#look(warning.at), LOOKED_AT);
  }

  #withdraw(): void {
    clearInterval(this.#looking);
    if (this.#id) Notification.dismiss(this.#id);
    this.#id = "";
    this.#takeBack();
    this.#takeBack = () => {};
  }

  #actions(): Notification.IAction[] {
    const { say } = this.page;
    const { acts } = this;
    const more = { label: say("more"), callback: () => this.openPanel() };
    const { status } = this.page;
    const actions: Notification.IAction[] = [];
    if (acts.canKeep) {
      const label = say("keep", { span: span(acts.keptFor, say) });
      actions.push({ label, displayType: "accent", callback: () => void acts.report(acts.keep("")) });
    }
    if (status?.canRelease) {
      const [label, caption] = [say("releaseShort"), say("release")];
      actions.push({ label, caption, displayType: "warn", callback: () => void acts.report(acts.release()) });
    }
    return [...actions, more];
  }

  async #look(at: number): Promise<void> {
    if (!isShown(document.getElementById(this.#id))) return;
    clearInterval(this.#looking);
    try {
      await this.server.seen(at);
    } catch {
      if (this.#at === at) this.#looking = setInterval(() => void this.#look(at), LOOKED_AT * 10);
    }
  }
}
