// Follow a launch: ask once a second how far it is, show the answer, and go to the server when it is ready.

import { SECOND, ask, show } from "./progress.js";

const page = document.getElementById("starting");
const title = document.getElementById("starting-title");
const live = document.getElementById("starting-live");
const lost = document.getElementById("starting-lost");

let shown = "";

async function follow() {
  let wait = SECOND;
  try {
    const progress = await ask(page);
    lost.hidden = true;
    if (progress.html !== shown) {
      shown = progress.html;
      show(progress, title, live);
    }
    if (progress.url) {
      window.location.replace(progress.url);
      return;
    }
    if (progress.final) {
      return;
    }
  } catch {
    lost.hidden = false;
    wait = 3 * SECOND;
  }
  window.setTimeout(follow, wait);
}

if (page.dataset.final !== "yes") {
  window.setTimeout(follow, SECOND);
}
