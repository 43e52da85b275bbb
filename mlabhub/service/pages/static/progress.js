// What the pages share that follow something until it is done.

export const SECOND = 1000;

// Ask how far it is.
export function ask(page) {
  return askAt(page.dataset.progress, page.dataset.xsrf);
}

// Ask an address of ours for what a page shows.
export async function askAt(address, xsrf) {
  const answer = await fetch(address, {
    headers: { "X-Xsrftoken": xsrf, Accept: "application/json" },
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

// Show it; a title that stays the same is not read out again.
export function show(progress, title, live) {
  if (title.textContent !== progress.title) {
    title.textContent = progress.title;
    document.title = progress.title;
  }
  // Made by our own template, which escapes every value.
  live.innerHTML = progress.html;
}
