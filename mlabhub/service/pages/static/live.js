// Keep a page true whose parts change by themselves: what waits, what is to be given back, and what runs.

import "./countdown.js";
import { follow } from "./follow.js";
import { put } from "./parts.js";
import { SECOND, askAt } from "./progress.js";

const CALM_MS = 30 * SECOND;
const STREAM_MS = 15 * SECOND;
const MOTION_MS = 5 * SECOND;

const page = document.getElementById("live");
const lost = document.getElementById("live-lost");
const said = document.getElementById("live-said");

const motion = Number(page.dataset.motion) || MOTION_MS;
let moves = page.dataset.moves !== "no";

const notices = () => new Map([...document.querySelectorAll("[data-notice]")].map((one) => [one.dataset.notice, one]));

// The stream tells of the queue alone.
const waits = () => document.querySelector("[data-part=waiting] li, [data-part=queue] tbody") !== null;

// One press is one act; the button says that it was heard.
document.addEventListener("submit", (event) => {
  const button = event.target.querySelector("[data-busy]");
  if (button) {
    button.textContent = button.dataset.busy;
    button.classList.add("disabled");
  }
});

const now = follow({
  async look(streaming) {
    if (document.hidden) {
      return CALM_MS;
    }
    const known = notices();
    const answer = await askAt(page.dataset.parts, page.dataset.xsrf);
    for (const [name, html] of Object.entries(answer.parts)) {
      put(document.querySelector(`[data-part="${name}"]`), html);
    }
    const fresh = [...notices()].find(([id]) => !known.has(id));
    if (fresh) {
      said.textContent = fresh[1].querySelector("p").textContent.trim();
    }
    moves = answer.moves;
    if (!moves) {
      return CALM_MS;
    }
    return streaming ? STREAM_MS : motion;
  },
  away(is) {
    lost.hidden = !is;
  },
  events: () => (waits() ? page.dataset.events : ""),
  headers: () => ({ "X-Xsrftoken": page.dataset.xsrf, Accept: "text/event-stream" }),
  longest: CALM_MS,
});

window.setTimeout(now, moves ? motion : CALM_MS);
