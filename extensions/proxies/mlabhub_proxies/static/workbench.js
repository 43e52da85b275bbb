/* The workbench's bar: tools in frames that stay loaded, one address for each, and what the line to the server is like.

Guarantees: a frame is made when its tool is first opened and kept until the tool is stopped; the address follows the tool
and, as far as the tool says, the file in it, so that reload, Back and a link lead to the same place; what is typed goes
to the tool that is shown, where one was in it, and never to a hidden one. */

import { ask } from "./ask.js";
import { getLine } from "./line.js";

const page = JSON.parse(document.getElementById("page").textContent);
const words = page.words;
const line = getLine(page.base);
const base = new URL(page.base, location.href);
const tools = new Map(page.tools.map((tool) => [tool.slug, tool]));
const frames = new Map();
const byId = (id) => document.getElementById(id);
const tabOf = (slug) => byId(`tab-${slug}`);
const fill = (template, values) => template.replace(/\{(\w+)\}/g, (_, name) => values[name]);
let current = null;

/* --- addresses ---------------------------------------------------------------------------------------------------- */

/** Return the slug of a workbench's address, and the address of its frame. */
function parse(address) {
  const [, slug, rest] = address.pathname.slice(base.pathname.length).match(/^mlabhub\/open\/([a-z]+)(\/.*)?$/) ?? [];
  if (!tools.has(slug)) return null;
  const tool = tools.get(slug);
  const within = (rest ?? "").replace(/^\/+/, "");
  const target = new URL(base);
  target.pathname += within ? `${tool.address.replace(/\/$/, "")}/${within}` : tool.address;
  target.search = address.search;
  target.searchParams.delete("lang");
  target.searchParams.set(page.argument, page.key);
  target.hash = address.hash;
  return { slug, target };
}

/** Return the workbench's address for where a tool's frame is now. */
function addressOf(slug) {
  const tool = tools.get(slug);
  const address = new URL(tool.open, location.href);
  const place = placeOf(slug);
  const root = base.pathname + tool.address.replace(/\/$/, "");
  if (!place || !place.pathname.startsWith(root)) return address;
  address.pathname += place.pathname.slice(root.length).replace(/\/$/, "");
  address.search = place.search;
  address.searchParams.delete(page.argument);
  address.hash = place.hash;
  return address;
}

function placeOf(slug) {
  try {
    const place = new URL(frames.get(slug).contentWindow.location.href);
    return place.origin === base.origin ? place : null;
  } catch {
    return null; // nothing is shown yet, or the browser refused to show it
  }
}

/* --- frames ------------------------------------------------------------------------------------------------------- */

function makeFrame(slug, target) {
  const frame = document.createElement("iframe");
  frame.id = `frame-${slug}`;
  frame.title = tools.get(slug).title;
  frame.allow = "clipboard-read; clipboard-write; fullscreen";
  frame.setAttribute("role", "tabpanel");
  frame.setAttribute("aria-labelledby", `tab-${slug}`);
  let place = target;
  frame.addEventListener("load", () => {
    if (placeOf(slug)?.protocol.startsWith("http")) {
      listen(frame.contentWindow);
      place = withKey(placeOf(slug));
      if (slug === current) focus(frame);
    } else if (frame.src && Date.now() - (frame.tried ?? 0) > 5_000) {
      frame.tried = Date.now();
      frame.src = place; // a tool that loads itself anew does not know the key
    }
  });
  frame.src = target;
  frames.set(slug, frame);
  byId("frames").append(frame);
  tabOf(slug).setAttribute("aria-controls", frame.id);
}

function withKey(place) {
  place.searchParams.set(page.argument, page.key);
  return place;
}

/** Put the keyboard where it was in a tool: a browser takes it from whatever is hidden. */
function focus(frame) {
  frame.focus();
  frame.contentWindow.focus();
  const inside = frame.contentDocument;
  if (inside && inside.activeElement === inside.body) frame.held?.focus({ preventScroll: true });
}

function hold(frame) {
  const element = frame.contentDocument?.activeElement;
  frame.held = element === frame.contentDocument?.body ? null : element;
}

/** The switching keys work inside the tools, too. */
function listen(window_) {
  window_.addEventListener("keydown", onKey, { capture: true });
}

function onKey(event) {
  if (!event.ctrlKey || !event.altKey || event.getModifierState("AltGraph")) return;
  const slug = page.tools[Number(event.code.match(/^Digit([1-9])$/)?.[1]) - 1]?.slug;
  if (!slug) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  open(slug);
}

/* --- switching ---------------------------------------------------------------------------------------------------- */

function show(slug, target) {
  if (frames.has(current)) hold(frames.get(current));
  current = slug;
  if (!frames.has(slug)) makeFrame(slug, target ?? parse(new URL(tools.get(slug).open, location.href)).target);
  for (const [name, frame] of frames) {
    frame.classList.toggle("away", name !== slug);
    frame.inert = name !== slug;
  }
  for (const name of tools.keys()) {
    tabOf(name).setAttribute("aria-selected", name === slug);
    tabOf(name).tabIndex = name === slug ? 0 : -1;
  }
  tabOf(slug).scrollIntoView({ inline: "nearest", block: "nearest" });
  const tool = tools.get(slug);
  byId("stop").hidden = !tool.can_stop;
  byId("stop").textContent = fill(words.stop, { tool: tool.title });
  follow();
}

function open(slug) {
  if (slug !== current) {
    history.pushState(null, "", addressOf(slug));
    show(slug);
  }
  focus(frames.get(slug));
}

/** Let address and title follow what the tool shows. */
function follow() {
  const address = addressOf(current);
  if (address.href !== location.href && placeOf(current)?.protocol.startsWith("http")) {
    history.replaceState(null, "", address);
  }
  const inside = placeOf(current) && frames.get(current).contentDocument?.title;
  document.title = `${inside || tools.get(current).title} · ${page.server}`;
  byId("alone").href = placeOf(current) ?? new URL(tools.get(current).address, base);
}

/* --- stop, language ----------------------------------------------------------------------------------------------- */

async function stop(slug) {
  const title = tools.get(slug).title;
  byId("question").textContent = fill(words.question, { tool: title });
  const dialog = byId("sure");
  dialog.returnValue = "";
  dialog.showModal();
  await new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
  if (dialog.returnValue !== "yes") return;
  frames.get(slug).remove(); // first, so that its page does not start the tool again
  frames.delete(slug);
  const other = [...frames.keys()].at(-1) ?? page.tools.find((tool) => !tool.can_stop)?.slug;
  try {
    const options = { method: "POST", body: JSON.stringify({ action: "stop" }) };
    const answer = await ask(new URL(`mlabhub/api/tools/${slug}`, base), options);
    if (!answer.ok) throw new Error((await answer.json()).error.message);
  } catch (error) {
    say(fill(words.failed, { reason: error.message }));
  }
  if (other) open(other);
  else location.assign(page.home ?? base);
}

function speak(tag) {
  document.cookie = `mlabhub-language=${tag.replace("-", "_")}; path=/; max-age=31536000; samesite=lax`;
  location.reload();
}

/* --- the line ----------------------------------------------------------------------------------------------------- */

function say(sentence, link) {
  byId("line").replaceChildren(sentence, ...(link ? [" ", link] : []));
  byId("line").hidden = !sentence;
}

function makeLink(text, href, target = "") {
  return Object.assign(document.createElement("a"), { textContent: text, href, target });
}

const SAID = {
  cut: ({ since }) => say(fill(words.cut, { time: new Date(since).toLocaleTimeString(document.documentElement.lang) })),
  back: () => {
    say(words.back);
    setTimeout(() => line.state === "good" && say(""), 4_000);
  },
  loggedout: () => say(words.loggedout, makeLink(words.login, new URL("mlabhub/again", base), "_blank")),
  stopped: () => say(words.stopped, page.home && makeLink(words.home, page.home)),
};
for (const [name, act] of Object.entries(SAID)) line.addEventListener(name, (event) => act(event.detail));

/* --- begin -------------------------------------------------------------------------------------------------------- */

for (const slug of tools.keys()) {
  tabOf(slug).addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return; // a browser tab of its own, as with any link
    event.preventDefault();
    open(slug);
  });
}
byId("tabs").addEventListener("keydown", (event) => {
  const all = [...tools.keys()];
  const place = all.indexOf(event.target.id.slice("tab-".length));
  const next = { ArrowRight: place + 1, ArrowLeft: place - 1, Home: 0, End: all.length - 1 }[event.key];
  if (event.key === " ") event.preventDefault(), event.target.click();
  if (next === undefined) return;
  event.preventDefault();
  for (const slug of all) tabOf(slug).tabIndex = -1;
  const tab = tabOf(all.at(next % all.length));
  tab.tabIndex = 0;
  tab.focus();
});
addEventListener("popstate", () => {
  const wanted = parse(location);
  if (!wanted || wanted.slug === current) return;
  show(wanted.slug, wanted.target);
  focus(frames.get(wanted.slug));
});
listen(window);
byId("stop").addEventListener("click", () => (byId("menu").hidePopover(), stop(current)));
for (const button of document.querySelectorAll(".language")) {
  button.addEventListener("click", () => speak(button.dataset.language));
}
setInterval(() => document.hidden || follow(), 1_000);
const wanted = parse(new URL(location.href));
show(wanted.slug, wanted.target);
