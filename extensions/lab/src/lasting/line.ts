/** The line to the server, as `mlabhub_proxies/static/line.js` tells of it: one answer for all of a browser tab. */
export interface Line extends EventTarget {
  readonly state: "good" | "cut" | "loggedout" | "stopped";

  /** Resolve once a heartbeat was answered: at once when the line is good. */
  good(): Promise<void>;
}

/** What an event of a line tells: since when there has been no answer, in milliseconds since the epoch. */
export type LineEvent = CustomEvent<{ since: number }>;

interface LineModule {
  getLine(base: string): Line;
}

/** Return the line to the server at this address. Throws where the server has no other half of ours. */
export async function findLine(base: string): Promise<Line> {
  const address = new URL("mlabhub/static/line.js", base).href;
  const { getLine } = (await import(/* webpackIgnore: true */ address)) as LineModule;
  return getLine(base);
}
