// Tells the server that somebody is here, so that nothing ends while it is looked at.
// A movement, a key or a click counts, once a minute; an open tab alone does not. What was pressed is not looked at.
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
  // A page's own scripts make events as well, and what moves below a pointer that lies still looks like a movement.
  function heard(event) {
    if (!event.isTrusted || document.hidden) return;
    if (event.type === "pointermove" && !event.movementX && !event.movementY) return;
    report();
  }
  for (const event of EVENTS) addEventListener(event, heard, { capture: true, passive: true });
  return { now: () => { last = 0; return report(); } };
}
