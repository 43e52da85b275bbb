// Loaded by TensorBoard's own page: a button to the list of log folders, what the list's change means for this page, and
// the warning before a TensorBoard of its own ends because nobody is here.
import { ask as askServer } from "./ask.js";
import { reportUse } from "./use.js";

const ADDRESS = new URL("../api/log-folders/use", import.meta.url).pathname;
// In the workbench's frame the address that this page was opened with has a key, which its links have to keep.
const OPENED = new URL(performance.getEntriesByType("navigation")[0]?.name ?? location.href);
const KEY = OPENED.searchParams.get("mlabhub_frame");
const ASK_EVERY_MS = 30_000;
const STYLE = `
  :host { all: initial; position: fixed; left: 12px; bottom: 12px; z-index: 1000; font: 14px/1.4 system-ui, sans-serif; }
  a, button { display: inline-block; padding: 4px 12px; border: 1px solid #b8bcc0; border-radius: 16px; background: #fff;
    color: #212529; font: inherit; text-decoration: none; cursor: pointer; opacity: 0.92; }
  a:hover, a:focus-visible { opacity: 1; border-color: #f57c00; outline: none; }
  p { max-width: 22rem; margin: 0 0 8px; padding: 8px 12px; border-inline-start: 4px solid #f57c00; background: #fff3cd;
    color: #212529; }
  [hidden] { display: none; }
`;

const host = document.createElement("div");
const root = host.attachShadow({ mode: "open" });
root.innerHTML = `<style>${STYLE}</style><p role="status" hidden></p><div><a></a></div>`;
const [warning, link] = [root.querySelector("p"), root.querySelector("a")];
let version = null;

// TensorBoard's own button: nothing that is set up in its page is lost.
function readAgain() {
  document.querySelector("app-header-reload button")?.click();
}

async function ask() {
  try {
    const answer = await askServer(ADDRESS);
    if (!answer.ok) return;
    const told = await answer.json();
    link.href = told.link.address + (KEY ? `?mlabhub_frame=${encodeURIComponent(KEY)}` : "");
    link.textContent = told.link.title;
    warning.textContent = told.warning ?? "";
    warning.hidden = !told.warning;
    if (!host.isConnected) document.body.append(host);
    if (told.settles_s > 0 || (version !== null && version !== told.version)) {
      setTimeout(readAgain, 1000 * told.settles_s);
    }
    version = told.version;
  } catch {
    // The line is cut, or the server has ended: TensorBoard itself says what it cannot load.
  }
}

function askWhileSeen() {
  if (!document.hidden) ask();
}

reportUse(ADDRESS, ask);
setInterval(askWhileSeen, ASK_EVERY_MS);
document.addEventListener("visibilitychange", askWhileSeen);
ask();
