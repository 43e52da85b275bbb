/* A notification for as long as the line to the server is not good, and a short one when it is again. */

import { Notification } from "@jupyterlab/apputils";

import type { Line, LineEvent } from "../lasting/line.js";
import type { Say } from "./words.js";

const BACK = 4_000;

export class LineNotice {
  #id = "";

  /** `tag` is the language of a time of day, `again` where one logs in, `home` the hub's Home page. */
  constructor(
    line: Line,
    say: Say,
    tag: string,
    again: string,
    home: string | null,
  ) {
    line.addEventListener("cut", (event) => {
      const time = new Date((event as LineEvent).detail.since).toLocaleTimeString(tag);
      this.#show(say("cut", { time }), []);
    });
    line.addEventListener("loggedout", () => {
      const login = (event: MouseEvent): void => {
        event.preventDefault(); // what is said stays until the line is good
        window.open(again, "_blank", "noopener");
      };
      this.#show(say("loggedout"), [{ label: say("login"), displayType: "accent", callback: login }]);
    });
    line.addEventListener("stopped", () => {
      const go = home === null ? [] : [{ label: say("home"), callback: () => window.location.assign(home) }];
      this.#show(say("stopped"), go);
    });
    line.addEventListener("back", () => {
      this.#withdraw();
      Notification.success(say("back"), { autoClose: BACK });
    });
  }

  #show(text: string, actions: Notification.IAction[]): void {
    this.#withdraw();
    this.#id = Notification.warning(text, { autoClose: false, actions });
  }

  #withdraw(): void {
    if (this.#id) Notification.dismiss(this.#id);
    this.#id = "";
  }
}
