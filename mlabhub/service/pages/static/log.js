// Follow what a server writes, while its log is open: by the stream, and by asking again while there is none.

import { read } from "./follow.js";
import { SECOND, askAt } from "./progress.js";

const MOST_LINES = 2000;
const AGAIN_MS = 2 * SECOND;
const POLL_MS = 15 * SECOND;

const box = document.getElementById("log");
const text = document.getElementById("log-text");
const said = document.getElementById("log-said");
const skipped = document.getElementById("log-skipped");
const button = document.getElementById("log-pause");

let lines = [];
let shown = "";
let paused = false;
let following = false;
let over = false;

const pause = (wait) => new Promise((done) => window.setTimeout(done, wait));

function say(words) {
  if (said.textContent !== words) {
    said.textContent = words;
  }
}

// What a server wrote is text, and becomes nothing else. Whoever has scrolled up to read stays there.
function show() {
  const now = lines.join("\n");
  if (paused || now === shown) {
    return;
  }
  const atEnd = text.scrollHeight - text.scrollTop - text.clientHeight < 40;
  text.textContent = now;
  shown = now;
  if (atEnd) {
    text.scrollTop = text.scrollHeight;
  }
}

function take(view, first) {
  lines = (first ? view.lines : lines.concat(view.lines)).slice(-MOST_LINES);
  skipped.hidden = !(view.skipped || (!first && !skipped.hidden));
  over = view.over;
  show();
  say(over ? said.dataset.over : paused ? said.dataset.paused : said.dataset.following);
}

// The stream first; where it cannot be had, the end of the log now and again.
async function follow() {
  let first = true;
  const stop = new AbortController();
  const watch = window.setInterval(() => wanted() || stop.abort(), SECOND);
  try {
    await read(box.dataset.events, { "X-Xsrftoken": box.dataset.xsrf, Accept: "text/event-stream" }, stop.signal, (data) => {
      for (const one of data) {
        take(JSON.parse(one), first);
        first = false;
      }
    });
    return AGAIN_MS;
  } catch {
    return first ? poll() : AGAIN_MS;
  } finally {
    window.clearInterval(watch);
  }
}

async function poll() {
  if (!wanted()) {
    return AGAIN_MS;
  }
  try {
    take(await askAt(box.dataset.lines, box.dataset.xsrf), true);
  } catch {
    say(said.dataset.away);
  }
  return POLL_MS;
}

const wanted = () => box.open && !document.hidden;

async function run() {
  if (following) {
    return;
  }
  following = true;
  while (wanted() && !over) {
    await pause(await follow());
  }
  following = false;
}

button.addEventListener("click", () => {
  paused = !paused;
  button.setAttribute("aria-pressed", String(paused));
  if (!over) {
    say(paused ? said.dataset.paused : said.dataset.following);
  }
  show();
});
box.addEventListener("toggle", run);
document.addEventListener("visibilitychange", run);
text.scrollTop = text.scrollHeight;
run();
