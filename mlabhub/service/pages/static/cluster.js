// The map of all GPUs: kept true, moved back in the day, searched, and walked by arrow keys.

import { follow } from "./follow.js";
import { SECOND, askAt } from "./progress.js";

const CALM_MS = 30 * SECOND;
const STREAM_MS = 15 * SECOND;
const MOTION_MS = 5 * SECOND;
const TYPING_MS = SECOND / 5;

const form = document.getElementById("map-form");
const map = document.getElementById("map");
const ago = document.getElementById("map-ago");
const when = document.getElementById("map-when");
const then = document.getElementById("map-then");
const panel = document.getElementById("gpu");
const line = document.getElementById("gpu-line");
const details = document.getElementById("gpu-details");
const lost = document.getElementById("live-lost");

let known = "";
let shown = null; // The GPU that the panel tells all about.
let asked = 0;

const gpus = () => [...map.querySelectorAll(".mlab-gpu")];
const wanted = () => {
  const query = new URLSearchParams();
  for (const [name, value] of new FormData(form)) {
    if (value && !(name === "ago" && value === "0")) {
      query.set(name, value);
    }
  }
  return query;
};
const element = (html) => {
  const made = document.createElement("template");
  made.innerHTML = html; // Made by our own drawing, which escapes every value.
  return made.content.firstElementChild;
};
const say = (text, values) => text.replace(/{(\w+)}/g, (whole, name) => values[name] ?? whole);

// --- what is on the map

// Make the children of an element be these, moving as few as possible: what has the focus keeps it.
function arrange(parent, children) {
  const kept = new Set(children);
  for (const child of [...parent.children]) {
    if (!kept.has(child)) {
      child.remove();
    }
  }
  children.forEach((child, place) => {
    if (parent.children[place] !== child) {
      parent.insertBefore(child, parent.children[place] ?? null);
    }
  });
}

function renew(old, html) {
  const node = element(html);
  const focused = old?.contains(document.activeElement) ? document.activeElement.id : "";
  old?.replaceWith(node);
  for (const gpu of node.querySelectorAll(".mlab-gpu")) {
    gpu.tabIndex = -1;
  }
  if (focused) {
    node.querySelector(`#${CSS.escape(focused)}`)?.focus();
  }
  return node;
}

function put(news) {
  const nodes = new Map([...map.querySelectorAll(".mlab-node")].map((one) => [one.dataset.node, one]));
  const sections = new Map([...map.querySelectorAll(".mlab-kind")].map((one) => [one.dataset.kind, one]));
  for (const [name, html] of Object.entries(news.nodes)) {
    nodes.set(name, renew(nodes.get(name), html));
  }
  const kinds = news.kinds.map(({ kind, head, nodes: names }) => {
    const section = sections.get(kind) ?? element('<section class="mlab-kind"><header></header><ul class="mlab-nodes"></ul></section>');
    section.dataset.kind = kind;
    const header = section.querySelector("header");
    if (header.said !== head) {
      header.innerHTML = head;
      header.said = head;
    }
    section.setAttribute("aria-labelledby", header.querySelector("h2").id);
    arrange(section.querySelector("ul"), names.map((name) => nodes.get(name)).filter(Boolean));
    return section;
  });
  const list = document.getElementById("map-kinds");
  arrange(list, kinds);
  if (map.said !== news.summary) {
    for (const old of [...map.children].filter((one) => one !== list)) {
      old.remove();
    }
    list.insertAdjacentHTML("beforebegin", news.summary);
    map.said = news.summary;
  }
  reach();
}

async function load() {
  const query = wanted();
  const number = ++asked;
  if (known) {
    query.set("known", known);
  }
  const answer = await askAt(`${form.dataset.parts}?${query}`, form.dataset.xsrf);
  if (number !== asked) {
    return; // Something else was asked for meanwhile.
  }
  known = `${answer.map.number}.${answer.seal}`;
  then.textContent = answer.moment;
  then.hidden = !answer.moment;
  put(answer.map);
}

const now = follow({
  async look(streaming) {
    if (document.hidden) {
      return CALM_MS;
    }
    await load();
    if (shown) {
      await about(shown);
    }
    return streaming || ago.value !== "0" ? STREAM_MS : MOTION_MS;
  },
  away(is) {
    lost.hidden = !is;
  },
  events: () => (ago.value === "0" ? form.dataset.events : ""),
  headers: () => ({ "X-Xsrftoken": form.dataset.xsrf, Accept: "text/event-stream" }),
  longest: CALM_MS,
});

// --- what is looked for, and when

function tellWhen() {
  const minutes = Number(ago.value);
  let text = when.dataset.now;
  if (minutes) {
    const step = Number(ago.step) * 60 * SECOND;
    const moment = new Date(Math.floor((Date.now() - minutes * 60 * SECOND) / step) * step);
    const time = moment.toLocaleTimeString(document.documentElement.lang, { hour: "2-digit", minute: "2-digit", hour12: false });
    const values = { hours: Math.floor(minutes / 60), minutes: minutes % 60 };
    text = say(when.dataset.then, { time, span: say(minutes < 60 ? when.dataset.minutes : when.dataset.hours, values) });
  }
  when.textContent = text;
  ago.setAttribute("aria-valuetext", text);
}

let typing = 0;

function change() {
  window.clearTimeout(typing);
  typing = window.setTimeout(async () => {
    const query = wanted();
    window.history.replaceState(null, "", `${window.location.pathname}${query.size ? `?${query}` : ""}`);
    try {
      await load();
      if (shown) {
        await about(shown);
      }
      lost.hidden = true;
    } catch {
      lost.hidden = false;
      now();
    }
  }, TYPING_MS);
}

form.addEventListener("input", () => {
  tellWhen();
  change();
});

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const gpu = event.submitter;
  if (gpu?.name === "gpu") {
    about(gpu.value).catch(now);
  } else {
    change();
  }
});

// --- what is told of one GPU

async function about(uuid) {
  shown = uuid;
  const query = wanted();
  query.set("gpu", uuid);
  const answer = await askAt(`${form.dataset.gpu}?${query}`, form.dataset.xsrf);
  if (shown === uuid && details.said !== answer.html) {
    details.innerHTML = answer.html; // Made by our own template.
    details.said = answer.html;
    line.hidden = true;
    panel.hidden = false;
  }
}

function hide() {
  shown = null;
  details.said = "";
  details.replaceChildren();
  panel.hidden = line.hidden;
}

function hint(gpu) {
  const text = gpu && gpu.value !== shown ? `${gpu.closest(".mlab-node").dataset.node} · ${gpu.getAttribute("aria-label")}` : "";
  line.textContent = text;
  line.hidden = !text;
  panel.hidden = !text && !details.childElementCount;
}

map.addEventListener("pointerover", (event) => hint(event.target.closest(".mlab-gpu")));
map.addEventListener("pointerleave", () => hint(document.activeElement?.closest("#map .mlab-gpu")));
map.addEventListener("focusout", () => hint(null));
map.addEventListener("focusin", (event) => {
  const gpu = event.target.closest(".mlab-gpu");
  if (gpu) {
    reach(gpu);
    hint(gpu);
  }
});
details.addEventListener("click", (event) => {
  if (event.target.id === "gpu-close") {
    const gpu = document.getElementById(`gpu-${shown}`);
    hide();
    gpu?.focus();
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && shown) {
    hide();
  }
});

// --- going from one to the next

// One GPU is reached by Tab, the others from there by arrow keys: nobody presses Tab 3,000 times.
function reach(gpu) {
  const stop = map.querySelector('.mlab-gpu[tabindex="0"]');
  const next = gpu ?? stop ?? map.querySelector(".mlab-gpu");
  if (stop && stop !== next) {
    stop.tabIndex = -1;
  }
  if (next) {
    next.tabIndex = 0;
  }
}

function neighbour(gpu, key) {
  const all = gpus();
  const place = all.indexOf(gpu);
  if (key === "ArrowRight" || key === "ArrowLeft") {
    return all[place + (key === "ArrowRight" ? 1 : -1)];
  }
  if (key === "Home" || key === "End") {
    return key === "Home" ? all[0] : all.at(-1);
  }
  const here = gpu.getBoundingClientRect();
  const down = key === "ArrowDown";
  const beyond = all
    .map((one) => [one, one.getBoundingClientRect()])
    .filter(([, at]) => (down ? at.top >= here.bottom : at.bottom <= here.top));
  const row = (down ? beyond : beyond.reverse())[0]?.[1].top;
  const near = beyond.filter(([, at]) => Math.abs(at.top - row) < here.height);
  near.sort(([, one], [, other]) => Math.abs(one.left - here.left) - Math.abs(other.left - here.left));
  return near[0]?.[0];
}

map.addEventListener("keydown", (event) => {
  const gpu = event.target.closest(".mlab-gpu");
  if (!gpu || !["ArrowRight", "ArrowLeft", "ArrowUp", "ArrowDown", "Home", "End"].includes(event.key)) {
    return;
  }
  event.preventDefault();
  neighbour(gpu, event.key)?.focus();
});

for (const gpu of gpus()) {
  gpu.tabIndex = -1;
}
reach();
tellWhen();
window.setTimeout(now, MOTION_MS);
