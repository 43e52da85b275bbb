// Go on when a server has stopped: this page is asked for again until it is another one. Nobody who reads it is
// interrupted meanwhile, as a page that loads itself anew would do.

const AGAIN_MS = 5000;

async function look() {
  try {
    const answer = await fetch(window.location.href);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (!page.getElementById("stopping")) {
      window.location.reload();
      return;
    }
  } catch {
    // The hub is away for the moment.
  }
  window.setTimeout(look, AGAIN_MS);
}

window.setTimeout(look, AGAIN_MS);
