/* What the parts of the page share: the last status, when it came, and the language. */

import { Signal, type ISignal } from "@lumino/signaling";

import type { Language } from "../languages.js";
import type { Status } from "./status.js";
import { speak, type Say } from "./words.js";

export class Page {
  readonly say: Say;
  #status: Status | null = null;
  #came = 0;
  readonly #changed = new Signal<this, void>(this);

  constructor(readonly language: Language) {
    this.say = speak(language);
  }

  /** Emitted when something new is known, and when there is no answer. */
  get changed(): ISignal<this, void> {
    return this.#changed;
  }

  get status(): Status | null {
    return this.#status;
  }

  /** Seconds since the status came. */
  get since(): number {
    return (performance.now() - this.#came) / 1000;
  }

  take(status: Status | null): void {
    this.#status = status;
    this.#came = performance.now();
    this.#changed.emit();
  }

  /** There was no answer: what is shown grows older. */
  repeat(): void {
    this.#changed.emit();
  }
}
