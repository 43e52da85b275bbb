// Tell outside the page, too, that a server is warned for standing idle: as long as any page of ours is open, in a tab
// that nobody looks at as well. The browser asks for leave only when the button for that is pressed.

const EVERY_MS = 60_000;
const KNOWN = "mlabhub-warned";
const MOST_KNOWN = 50;

const source = document.getElementById("warned-source").dataset;
const ask = document.getElementById("tell-me");

// What was shown by any of our tabs is not shown again. Without storage each tab knows only its own.
let shown = [];

function known() {
  try {
    shown = JSON.parse(window.localStorage.getItem(KNOWN)) ?? shown;
  } catch {
    // Storage is closed, or somebody else's: what this tab knows has to do.
  }
  return Array.isArray(shown) ? shown : [];
}

function remember(mark) {
  shown = [...known(), mark].slice(-MOST_KNOWN);
  try {
    window.localStorage.setItem(KNOWN, JSON.stringify(shown));
  } catch {
    // As above.
  }
}

function tell(warning) {
  const notice = new Notification(warning.title, {
    body: warning.body,
    tag: warning.mark,
    lang: document.documentElement.lang,
    requireInteraction: true,
  });
  notice.addEventListener("click", () => {
    window.focus();
    window.location.assign(warning.url);
  });
  remember(warning.mark);
}

async function look() {
  try {
    const answer = await fetch(source.address, {
      headers: { "X-Xsrftoken": source.xsrf, Accept: "application/json" },
      signal: AbortSignal.timeout(EVERY_MS / 2),
    });
    if (answer.ok) {
      const told = known();
      for (const warning of (await answer.json()).warnings) {
        if (!told.includes(warning.mark)) {
          tell(warning);
        }
      }
    }
  } catch {
    // The service or the line is away: the next look tells it.
  }
  window.setTimeout(look, EVERY_MS);
}

if ("Notification" in window) {
  if (Notification.permission === "granted") {
    look();
  } else if (Notification.permission === "default" && ask) {
    ask.hidden = false;
    ask.addEventListener("click", async () => {
      ask.hidden = true;
      if ((await Notification.requestPermission()) === "granted") {
        look();
      }
    });
  }
}
