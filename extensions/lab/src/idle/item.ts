/* The item in the status bar: how the GPU is used, and what comes of it. A click opens the panel. */

import { Widget } from "@lumino/widgets";

import { make } from "../elements.js";
import type { Page } from "./page.js";
import { isStale, item } from "./phrases.js";

/** Looked at again though nothing new is known: what is left of a time grows less. */
const REDRAWN = 15_000;

export class Item extends Widget {
  readonly #button = make("button", { type: "button", class: "mlabhub-idle-item", "aria-haspopup": "dialog" });
  readonly #timer: ReturnType<typeof setInterval>;

  constructor(
    private readonly page: Page,
    onClick: () => void,
  ) {
    super();
    this.node.append(this.#button);
    this.#button.addEventListener("click", onClick);
    page.changed.connect(this.#draw, this);
    this.#timer = setInterval(() => this.#draw(), REDRAWN);
    this.#draw();
  }

  override dispose(): void {
    clearInterval(this.#timer);
    this.page.changed.disconnect(this.#draw, this);
    super.dispose();
  }

  #draw(): void {
    const { status, since, say, language } = this.page;
    if (status === null) return;
    const stale = isStale(status, since);
    const text = item(status, since, say);
    if (this.#button.textContent !== text) this.#button.textContent = text;
    this.#button.title = say("itemTitle", { said: status.text[language] }).trim();
    this.#button.dataset.verdict = stale ? "unknown" : status.verdict;
  }
}
