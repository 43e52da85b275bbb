/* Asks the server again and again, seldom while nobody looks.

Guarantees: no two questions at once; one as soon as the page is looked at again; the more failures in a row, the longer
the pauses, whatever the machine's clock does; asking is reading, which counts as nobody's work. A page with something
to save asks often enough for the agent to wait for it (`mlabhub_agent.orders`), also where nobody sees it. */

export const EVERY = 28_000;
export const HIDDEN = 300_000;
export const HURRIED = 3_000;
const LONGEST = 300_000;
const LONGER = 0.07; // at most, so that pages do not ask all at once

export interface Moment {
  /** Failures in a row. */
  readonly failures: number;
  readonly hidden: boolean;
  /** Something is about to happen to the server, or there is something to save. */
  readonly pressing: boolean;
  /** This page has just asked for something that is answered in a moment. */
  readonly hurried: boolean;
}

/** Return for how many milliseconds to wait until the next question. */
export function pauseAt(moment: Moment): number {
  if (moment.failures > 0) return Math.min(EVERY * 2 ** (moment.failures - 1), LONGEST);
  if (moment.hurried) return HURRIED;
  return moment.hidden && !moment.pressing ? HIDDEN : EVERY;
}

export class Poller {
  #timer: ReturnType<typeof setTimeout> | undefined;
  #asking: Promise<void> | null = null;
  #asked = 0;
  #failures = 0;
  #hurriedUntil = 0;

  /** `ask` fails by throwing; `pressing` is looked at again and again. */
  constructor(
    private readonly ask: () => Promise<void>,
    private readonly pressing: () => boolean,
    private readonly clock: () => number = () => performance.now(),
  ) {}

  /** Ask from now on. */
  start(): void {
    document.addEventListener("visibilitychange", () => document.hidden || void this.now());
    void this.now();
  }

  /** Ask now; one question that is on its way is enough. */
  now(): Promise<void> {
    clearTimeout(this.#timer);
    this.#asking ??= this.#askOnce().finally(() => {
      this.#asking = null;
      this.#asked = this.clock();
      this.#plan();
    });
    return this.#asking;
  }

  /** Ask often for a while. */
  hurry(milliseconds = 120_000): Promise<void> {
    this.#hurriedUntil = this.clock() + milliseconds;
    return this.now();
  }

  async #askOnce(): Promise<void> {
    try {
      await this.ask();
      this.#failures = 0;
    } catch {
      this.#failures += 1;
    }
  }

  #plan(): void {
    const hurried = this.clock() < this.#hurriedUntil;
    const moment = { failures: this.#failures, hidden: document.hidden, pressing: this.pressing(), hurried };
    const left = this.#asked + pauseAt(moment) - this.clock();
    clearTimeout(this.#timer);
    if (left <= 0) void this.now();
    // Looked at again before a long pause is over: it may have become pressing.
    else this.#timer = setTimeout(() => this.#plan(), Math.min(left, EVERY) * (1 + LONGER * Math.random()));
  }
}
