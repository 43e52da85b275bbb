// Follow the fetching of an image: ask every two seconds how far it is, and start the server when it is here.

const page = document.getElementById("fetching");
const title = document.getElementById("fetching-title");
const live = document.getElementById("fetching-live");
const form = document.getElementById("fetching-start");

const SECOND = 1000;

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

async function follow() {
  try {
    const progress = await ask();
    if (title.textContent !== progress.title) {
      title.textContent = progress.title;
      document.title = progress.title;
    }
    // Made by our own template, which escapes every value.
    live.innerHTML = progress.html;
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
