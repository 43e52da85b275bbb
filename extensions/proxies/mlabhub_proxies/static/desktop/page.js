// The desktop's page: its parts, and what they tell one another.

import { Bar } from "./bar.js";
import { Clipboard } from "./clipboard.js";
import { Connection } from "./connection.js";
import { FirstPicture } from "./first.js";
import { Keys } from "./keys.js";
import { Notice } from "./notice.js";
import { Picture } from "./picture.js";
import { Screen } from "./screen.js";
import { load } from "./settings.js";

const byId = (id) => document.getElementById(id);

const settings = load();
const stage = byId("stage");
const place = byId("place");
const field = byId("field");
const socket = new URL(stage.dataset.socket, window.location.href.replace(/^http/, "ws")).href;

const connection = new Connection({ place, socket, api: stage.dataset.api, watch: settings.watch });
const screen = new Screen({ stage, place, still: byId("still") });
const clipboard = new Clipboard({ connection, field, panel: byId("clipboard-text") });
const keys = new Keys({ field, connection, clipboard });
const picture = new Picture({ connection, now: byId("now"), quality: settings.quality });
screen.setSize(settings.size);
new Notice({ box: byId("notice"), live: byId("live"), stage, connection, keys });
new FirstPicture({ box: byId("first"), connection, screen });
new Bar({ connection, keys, clipboard, screen, picture, settings });

connection.addEventListener("picture", (event) => {
  screen.use(event.detail);
  keys.canvas = screen.canvas;
});
connection.addEventListener("lost", () => screen.freeze());
connection.addEventListener("state", (event) => {
  if (event.detail === "connected") {
    screen.thaw();
  }
});
byId("unsaved-read")?.addEventListener("click", () => {
  byId("unsaved").remove();
  keys.focus();
});
// A frame that is shown again gets the focus, and nothing in it has it: the browser took it when it was hidden.
window.addEventListener("focus", () => document.activeElement === document.body && keys.focus());

keys.focus();
connection.attempt();
