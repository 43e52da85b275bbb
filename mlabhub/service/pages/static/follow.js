// Follow what the service tells of: its stream says that something changed, then one look shows what it is now. While
// there is no stream, looks come more often. A browser has few connections for all of its tabs, so only the tab that is
// looked at keeps one open.

import { SECOND } from "./progress.js";

const SILENT_MS = 40 * SECOND;
const LONGEST_PAUSE_MS = 60 * SECOND;

const pause = (wait) => new Promise((done) => window.setTimeout(done, wait));

// Read a stream of server-sent events until it ends, and tell of each piece the data of the events that came in it.
export async function read(address, headers, stop, heard) {
  const silent = new AbortController();
  let watch = 0;
  const expect = () => {
    window.clearTimeout(watch);
    watch = window.setTimeout(() => silent.abort(), SILENT_MS);
  };
  expect();
  try {
    const answer = await fetch(address, { headers, signal: AbortSignal.any([stop, silent.signal]) });
    if (!answer.ok || !(answer.headers.get("Content-Type") ?? "").startsWith("text/event-stream")) {
      throw new Error(`the service answered ${answer.status}`);
    }
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) {
        return;
      }
      expect();
      text += value;
      const end = text.lastIndexOf("\n\n");
      if (end >= 0) {
        const data = [...text.slice(0, end).matchAll(/^data: ?(.*)$/gm)].map((one) => one[1]);
        if (data.length > 0) {
          heard(data);
        }
        text = text.slice(end + 2);
      }
    }
  } finally {
    window.clearTimeout(watch);
  }
}

// `look` shows how things are and returns after how many milliseconds to look again, null for never; it is told whether
// a stream is open. It throws while the service is away: `away` is told so, and when it is back. `events` returns the
// address of the stream, empty for none.
export function follow({ look, away, events, headers, longest }) {
  let timer = 0;
  let failures = 0;
  let streaming = false;
  let looking = false;
  let again = false;
  let over = false;
  let stop = new AbortController();

  async function now() {
    window.clearTimeout(timer);
    if (looking || over) {
      again = true;
      return;
    }
    looking = true;
    let wait;
    try {
      wait = await look(streaming);
      failures = 0;
      away(false);
    } catch {
      failures += 1;
      wait = Math.min(longest, 2 ** failures * SECOND);
      away(true);
    }
    looking = false;
    if (wait === null) {
      over = true;
      stop.abort();
      return;
    }
    timer = window.setTimeout(now, again ? SECOND / 10 : wait);
    again = false;
  }

  async function listen() {
    let wait = SECOND;
    while (!over) {
      const address = document.hidden ? "" : events();
      if (address) {
        stop = new AbortController();
        try {
          await read(address, headers(), stop.signal, () => {
            wait = SECOND;
            streaming = true;
            now();
          });
        } catch {
          wait = Math.min(LONGEST_PAUSE_MS, 2 * wait);
        }
        streaming = false;
      }
      await pause(address ? wait : SECOND);
    }
  }

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      stop.abort();
    } else {
      now();
    }
  });
  window.addEventListener("online", now);
  window.addEventListener("pageshow", (event) => event.persisted && now());
  listen();
  return now;
}
