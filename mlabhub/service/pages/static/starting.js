// Follow a launch: ask once a second how far it is, show the answer, and go to the server when it is ready.

const page = document.getElementById("starting");
const title = document.getElementById("starting-title");
const live = document.getElementById("starting-live");
const lost = document.getElementById("starting-lost");

const SECOND = 1000;
let shown = "";

async function ask() {
  const answer = await fetch(page.dataset.progress, {
    headers: { "X-Xsrftoken": page.dataset.xsrf, Accept: "application/json" },
    signal: AbortSignal.timeout(10 * SECOND),
  });
  if (answer.status === 403) {
    // The login has ended; only a page view can renew it.
    window.location.reload();
  }
  if (!answer.ok) {
    throw new Error(`the service answered ${answer.status}`);
  }
  return answer.json();
}

function show(progress) {
  if (progress.html === shown) {
    return;
  }
  shown = progress.html;
  if (title.textContent !== progress.title) {
    title.textContent = progress.title;
    document.title = progress.title;
  }
  // Made by our own template, which escapes every value.
  live.innerHTML = progress.html;
}

async function follow() {
  let wait = SECOND;
  try {
    const progress = await ask();
    lost.hidden = true;
    show(progress);
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
