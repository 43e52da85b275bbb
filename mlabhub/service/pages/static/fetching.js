// Follow the fetching of an image: ask every two seconds how far it is, and start the server when it is here.

import { SECOND, ask, show } from "./progress.js";

const page = document.getElementById("fetching");
const title = document.getElementById("fetching-title");
const live = document.getElementById("fetching-live");
const form = document.getElementById("fetching-start");
const hint = document.getElementById("fetching-hint");

async function follow() {
  try {
    const progress = await ask(page);
    show(progress, title, live);
    if (hint) {
      hint.hidden = progress.state !== "fetching"; // after a failure nothing follows by itself, nor without scripts
    }
    if (progress.state === "here" && page.dataset.byItself === "yes") {
      form.requestSubmit();
      return;
    }
    if (progress.state !== "fetching") {
      return;
    }
  } catch {
    // The service is away for a moment: what is shown stays.
  }
  window.setTimeout(follow, 2 * SECOND);
}

window.setTimeout(follow, SECOND);
