// Tells the server that somebody is here, so that a TensorBoard of its own does not end while it is looked at.
// A movement, a key or a click counts, once a minute; an open tab alone does not.
import { ask } from "./ask.js";

const EVERY_MS = 60_000;
const EVENTS = ["pointermove", "pointerdown", "keydown", "wheel", "touchstart"];

export function reportUse(address, onReport = () => {}) {
  let last = Date.now(); // Opening the page has counted already.
  async function report() {
    if (Date.now() - last < EVERY_MS) return;
    last = Date.now();
    try {
      await ask(address, { method: "POST" });
      onReport();
    } catch {
      last = 0; // The line is cut: the next movement tries again.
    }
  }
  for (const event of EVENTS) addEventListener(event, report, { capture: true, passive: true });
  return { now: () => { last = 0; return report(); } };
}
