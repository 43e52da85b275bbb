/* A line above JupyterLab for as long as its server cannot be reached, and for a moment when it can again.

It is a widget and no notification: JupyterLab loads what shows its first notification, which a cut line forbids. */

import { Widget } from "@lumino/widgets";

import { make } from "../elements.js";
import type { Line, LineEvent } from "../lasting/line.js";
import type { Say } from "./words.js";

const BACK = 4_000;

export interface Places {
  /** Where one logs in again, and the hub's Home page. */
  readonly again: string;
  readonly home: string | null;
}

export class LineNotice extends Widget {
  readonly #said = make("p", { role: "status" });

  /** `tag` is the language of a time of day; `attach` puts this on the screen. */
  constructor(line: Line, say: Say, tag: string, places: Places, attach: (notice: Widget) => void) {
    super();
    this.id = "mlabhub-line";
    this.addClass("mlabhub-line");
    this.node.append(this.#said);
    const show = (...said: (Node | string)[]): void => {
      this.#said.replaceChildren(...said);
      if (!this.isAttached) attach(this);
    };
    line.addEventListener("cut", (event) => {
      show(say("cut", { time: new Date((event as LineEvent).detail.since).toLocaleTimeString(tag) }));
    });
    line.addEventListener("loggedout", () => {
      show(say("loggedout"), " ", make("a", { href: places.again, target: "_blank", rel: "noopener" }, say("login")));
    });
    line.addEventListener("stopped", () => {
      show(say("stopped"), ...(places.home === null ? [] : [" ", make("a", { href: places.home }, say("home"))]));
    });
    line.addEventListener("back", () => {
      show(say("back"));
      setTimeout(() => {
        if (line.state === "good") this.parent = null;
      }, BACK);
    });
  }
}
