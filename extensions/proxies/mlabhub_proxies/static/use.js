// Tells the server that somebody is here, so that nothing ends while it is looked at.
// A movement, a key or a click counts; an open tab alone does not. What was pressed is not looked at. The first one is
// told at once, for it may come in the last seconds before the server is stopped; after that it is told seldom, by a clock
// that nobody sets.
import { ask } from "./ask.js";

const EVERY_MS = 10_000;
const AGAIN_MS = 2_000;
const EVENTS = ["pointermove", "pointerdown", "keydown", "wheel", "touchstart"];

export function reportUse(address, onReport = () => {}) {
  let last = performance.now(); // Opening the page has counted already.
  async function report() {
    if (performance.now() - last < EVERY_MS) return;
    last = performance.now();
    try {
      await ask(address, { method: "POST" });
      onReport();
    } catch {
      last = performance.now() - EVERY_MS + AGAIN_MS; // The line is cut: a movement soon tries again.
    }
  }
  // A page's own scripts make events as well, and what moves below a pointer that lies still looks like a movement.
  function heard(event) {
    if (!event.isTrusted || document.hidden) return;
    if (event.type === "pointermove" && !event.movementX && !event.movementY) return;
    report();
  }
  for (const event of EVENTS) addEventListener(event, heard, { capture: true, passive: true });
  return { now: () => { last = -Infinity; return report(); } };
}
