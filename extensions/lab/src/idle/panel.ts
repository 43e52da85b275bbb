/* The panel behind the status bar's item: the verdict in a sentence, the quota, and what can be done. */

import { Dialog } from "@jupyterlab/apputils";
import { Widget } from "@lumino/widgets";

import type { Acts } from "./acts.js";
import { button, make } from "../elements.js";
import type { Page } from "./page.js";
import { isStale, item, keepsLeft, quotaLong, span, usage } from "./phrases.js";
import { Telling } from "./telling.js";

class Panel extends Widget {
  readonly #verdict = make("p", { class: "mlabhub-idle-verdict" });
  readonly #facts = make("p");
  readonly #quota = make("p");
  readonly #left = make("p", { class: "mlabhub-idle-note" });
  readonly #said = make("p", { role: "status", class: "mlabhub-idle-said" });
  readonly #reason: HTMLInputElement;
  readonly #keep: HTMLButtonElement;
  readonly #release: HTMLButtonElement;
  readonly #open: HTMLAnchorElement;
  #asking = false;

  constructor(
    private readonly page: Page,
    private readonly acts: Acts,
    telling: Telling,
    release: () => void,
  ) {
    super({ node: make("div", { class: "mlabhub-idle-panel" }) });
    const { say } = page;
    this.#reason = make("input", { class: "jp-mod-styled", maxlength: "200", placeholder: say("reason") });
    this.#reason.setAttribute("aria-label", say("reason"));
    this.#keep = button("", "jp-mod-accept", () => void this.#askToKeep());
    this.#release = button(say("release"), "jp-mod-warn", release);
    this.#open = make("a", { target: "_blank", rel: "noopener" }, say("open"));
    this.node.append(
      ...[this.#verdict, this.#facts, this.#quota, this.#open],
      make("div", { class: "mlabhub-idle-row" }, this.#reason, this.#keep),
      this.#left,
      make("div", { class: "mlabhub-idle-row" }, this.#release),
      ...(Telling.exists ? [tellingSwitch(telling, page)] : []),
      this.#said,
    );
    page.changed.connect(this.#draw, this);
    this.#draw();
  }

  override dispose(): void {
    this.page.changed.disconnect(this.#draw, this);
    super.dispose();
  }

  #draw(): void {
    const { status, since, say, language } = this.page;
    if (status === null) return;
    const stale = isStale(status, since);
    this.#verdict.textContent = stale ? item(status, since, say) : status.text[language];
    this.#facts.textContent = stale ? "" : usage(status, say).join(" · ");
    this.#quota.textContent = stale || status.quota === null ? "" : quotaLong(status.quota, say);
    this.#keep.textContent = say("keep", { span: span(this.acts.keptFor || 7200, say) });
    this.#reason.disabled = !this.acts.canKeep;
    this.#keep.disabled = !this.acts.canKeep || this.#asking;
    this.#left.textContent = keepsLeft(this.acts.keptFor > 0 ? status.keepLeft : 0, say);
    this.#release.parentElement?.toggleAttribute("hidden", !status.canRelease);
    this.#open.toggleAttribute("hidden", status.page === null);
    if (status.page !== null) this.#open.href = status.page;
  }

  /** Enter keeps where the reason is written; everywhere else in the panel it is the browser's. */
  enter(): void {
    if (document.activeElement === this.#reason) void this.#askToKeep();
  }

  async #askToKeep(): Promise<void> {
    if (this.#asking || !this.acts.canKeep) return;
    this.#asking = true;
    this.#draw();
    const [said, well] = await this.acts.keep(this.#reason.value);
    this.#asking = false;
    if (this.isDisposed) return;
    this.#draw();
    this.#said.textContent = said;
    this.#said.classList.toggle("mlabhub-idle-failed", !well);
  }
}

/** JupyterLab's dialogs take Enter for their own button, here "Close", wherever it is pressed. */
class PanelDialog extends Dialog<void> {
  constructor(
    private readonly panel: Panel,
    title: string,
    close: string,
  ) {
    super({ title, body: panel, buttons: [Dialog.cancelButton({ label: close })] });
  }

  override handleEvent(event: Event): void {
    const { key, isComposing } = event as KeyboardEvent;
    const isOurs = event.type === "keydown" && key === "Enter" && this.panel.node.contains(event.target as Node);
    if (!isOurs) super.handleEvent(event);
    else if (!isComposing) this.panel.enter(); // else it ends a word in Chinese
  }
}

/** "Notify me": the browser is asked for its leave only when this is clicked. */
function tellingSwitch(telling: Telling, page: Page): HTMLElement {
  const box = make("input", { type: "checkbox" });
  const note = make("span", { class: "mlabhub-idle-note" });
  const draw = (): void => {
    box.checked = telling.on;
    note.textContent = telling.denied ? page.say("notifyDenied") : "";
  };
  box.addEventListener("change", () => void telling.turn(box.checked).then(draw));
  draw();
  return make("label", { class: "mlabhub-idle-row" }, box, page.say("notify"), note);
}

/** Open the panel; resolve when it is closed. */
export async function openPanel(page: Page, acts: Acts, telling: Telling): Promise<void> {
  const panel = new Panel(page, acts, telling, () => {
    dialog.reject(); // JupyterLab shows one dialog at a time, and releasing asks with another one
    void acts.report(acts.release());
  });
  const dialog = new PanelDialog(panel, page.say("title"), page.say("close"));
  try {
    await dialog.launch();
  } finally {
    panel.dispose();
  }
}
