// Follow a launch, from the queue or straight away: show how far it is, and go to the server when it is ready.

import { follow } from "./follow.js";
import { put } from "./parts.js";
import { SECOND, ask } from "./progress.js";

const WAITS_MS = 3 * SECOND;
const STREAM_MS = 15 * SECOND;
const LONGEST_MS = 4 * SECOND;

const page = document.getElementById("starting");
const title = document.getElementById("starting-title");
const said = document.getElementById("starting-said");
const live = document.getElementById("starting-live");
const lost = document.getElementById("starting-lost");

let state = page.dataset.state;

function say(element, text) {
  if (element.textContent !== text) {
    element.textContent = text;
  }
}

// One press is one act; the button says that it was heard.
document.addEventListener("submit", (event) => {
  const button = event.target.querySelector("[data-busy]");
  if (button) {
    button.textContent = button.dataset.busy;
    button.classList.add("disabled");
  }
});

const begin = () =>
  follow({
    async look(streaming) {
      const progress = await ask(page);
      state = progress.state;
      say(title, progress.title);
      say(said, progress.said);
      said.hidden = !progress.said;
      document.title = `${progress.tab} · mlabhub`;
      put(live, progress.html);
      if (progress.url) {
        window.location.replace(progress.url);
        return null;
      }
      if (progress.final) {
        return null;
      }
      if (state !== "queued") {
        return SECOND;
      }
      return streaming ? STREAM_MS : WAITS_MS;
    },
    away(is) {
      lost.hidden = !is;
    },
    events: () => (state === "queued" ? page.dataset.events : ""),
    headers: () => ({ "X-Xsrftoken": page.dataset.xsrf, Accept: "text/event-stream" }),
    longest: LONGEST_MS,
  });

if (page.dataset.final !== "yes") {
  window.setTimeout(begin(), SECOND);
}
