/** The line to the server, as `mlabhub_proxies/static/line.js` tells of it: one answer for all of a browser tab. */
export interface Line extends EventTarget {
  readonly state: "good" | "cut" | "loggedout" | "stopped";

  /** Resolve once a heartbeat was answered: at once when the line is good. */
  good(): Promise<void>;
}
