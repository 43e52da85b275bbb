// Make the launch page answer at once, and keep it true: the parts of the page that depend on the choices follow them,
// and every few seconds the world. Another profile comes without a reload. Everything works without this script, by
// links and by the form.

import { put } from "./parts.js";

const SECOND = 1000;
const QUIET_MS = 250;
const EVERY_MS = 10 * SECOND;
const LONGEST_WAIT_MS = 60 * SECOND;
const LONGEST_ADDRESS = 6000;
const MOST_CARDS = 60;

let typing = 0;
let timer = 0;
let latest = 0;
let failures = 0;
let find = "";

const root = () => document.getElementById("launch");
const form = () => document.getElementById("launch-form");
const lost = () => document.getElementById("launch-lost");
const part = (name) => document.querySelector(`[data-part="${CSS.escape(name)}"]`);

function headers() {
  return { "X-Xsrftoken": root().dataset.xsrf };
}

// The parts of the page ------------------------------------------------------------------------------------------

// Put new text into a part, unless it says the same already.
function show(name, html) {
  const element = part(name);
  if (put(element, html, "start") && element.matches(".mlab-again")) {
    element.hidden = !element.querySelector("h2");
  }
}

function shownCards() {
  const cards = [...document.querySelectorAll("[data-card]:not([hidden])")].filter((card) => {
    const box = card.getBoundingClientRect();
    const list = document.getElementById("profile-list").getBoundingClientRect();
    const top = Math.max(0, list.top);
    const bottom = Math.min(window.innerHeight, list.bottom);
    return box.bottom > top && box.top < bottom;
  });
  return cards.slice(0, MOST_CARDS).map((card) => card.dataset.card);
}

// Asking ---------------------------------------------------------------------------------------------------------

class Refusal extends Error {
  constructor(status) {
    super(`the service answered ${status}`);
    this.status = status;
  }
}

// Ask what would happen to the choices as they stand; `wide` asks about the profiles on the screen, too.
async function ask(wide) {
  const mine = ++latest;
  const fields = new URLSearchParams(new FormData(form()));
  if (wide) {
    fields.set("cards", shownCards().join(" "));
  }
  const answer = await fetch(root().dataset.preview, {
    method: "POST",
    headers: headers(),
    body: fields,
    signal: AbortSignal.timeout(EVERY_MS),
  });
  if (!answer.ok) {
    throw new Refusal(answer.status);
  }
  const { kind, parts } = await answer.json();
  if (mine !== latest) {
    return; // The choices have changed since.
  }
  for (const [name, html] of Object.entries(parts)) {
    show(name, html);
  }
  document.getElementById("summary").className = `mlab-summary mlab-is-${kind}`;
}

function say(template) {
  const notice = lost();
  if (template === undefined) {
    notice.hidden = true;
    notice.replaceChildren();
  } else if (notice.hidden || notice.dataset.says !== template) {
    notice.replaceChildren(document.getElementById(template).content.cloneNode(true));
    notice.dataset.says = template;
    notice.hidden = false;
  }
  const again = notice.querySelector("a");
  if (again) {
    again.href = window.location.href;
  }
}

// Ask now, and again in a while: soon when all is well, ever later while the hub is away, not at all while hidden.
async function refresh(wide) {
  window.clearTimeout(timer);
  if (!form()) {
    return;
  }
  try {
    await ask(wide);
    failures = 0;
    say();
  } catch (error) {
    failures += 1;
    if (error.status === 403) {
      say("lost-login");
      return; // Only a page view can renew it; the next choice tries once more.
    }
    if (error.status === undefined || error.status >= 500) {
      say("lost-away");
    }
  }
  window.clearTimeout(timer);
  if (!document.hidden) {
    const wait = failures ? Math.min(LONGEST_WAIT_MS, 2 ** failures * SECOND) : EVERY_MS;
    timer = window.setTimeout(refresh, wait, true);
  }
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    window.clearTimeout(timer);
  } else {
    refresh(true);
  }
});
window.addEventListener("online", () => refresh(true));

// Choosing -------------------------------------------------------------------------------------------------------

// The address says the choices, so that going back, loading anew and logging in again lose nothing.
function remember() {
  const fields = new URLSearchParams();
  for (const [name, value] of new FormData(form())) {
    if (value && name !== "key" && !name.startsWith("_")) {
      fields.append(name, value);
    }
  }
  const address = `${window.location.pathname}?${fields}`;
  if (address.length < LONGEST_ADDRESS) {
    window.history.replaceState(null, "", address);
  }
}

function soon(wide) {
  remember();
  window.clearTimeout(typing);
  typing = window.setTimeout(refresh, QUIET_MS, wide);
}

// Put a slider below each number that has bounds; keyboard and screen reader use the number itself.
function addSliders() {
  for (const number of form()?.querySelectorAll("input.mlab-number") ?? []) {
    const slider = document.createElement("input");
    Object.assign(slider, { type: "range", className: "form-range mlab-slider", tabIndex: -1 });
    Object.assign(slider, { min: number.min, max: number.max, step: number.step, value: number.value });
    slider.setAttribute("aria-hidden", "true");
    slider.addEventListener("input", () => {
      number.value = slider.value;
      number.dispatchEvent(new Event("input", { bubbles: true }));
    });
    number.addEventListener("input", () => {
      slider.value = number.value;
    });
    number.closest(".input-group").after(slider);
  }
}

// What is typed in as an image counts only while that is chosen in the list.
function showTyped() {
  const list = document.getElementById("field-image");
  const typed = document.getElementById("typed-image");
  if (list && typed) {
    typed.hidden = list.value !== ":typed";
    typed.querySelector("input").disabled = typed.hidden;
  }
}

// Only GPUs of the chosen type can be ticked.
function showGpus() {
  const type = form()?.querySelector("[name=gpu_type]:checked")?.value ?? "any";
  for (const row of document.querySelectorAll("[data-gpu-type]")) {
    row.hidden = type !== "any" && row.dataset.gpuType !== type;
    const box = row.querySelector("input");
    box.checked = box.checked && !row.hidden;
  }
}

// Ticked GPUs and their number agree, whichever was chosen last.
function agree(changed) {
  const ticked = form().querySelectorAll("[name=gpu_ids]:checked");
  const number = form().querySelectorAll("[name=gpus]");
  if (changed.name === "gpu_ids" && ticked.length) {
    for (const field of number) {
      if (field.type === "radio") {
        field.checked = Number(field.value) === ticked.length;
      } else {
        field.value = ticked.length;
      }
    }
  } else if (changed.name === "gpus" && Number(changed.value) !== ticked.length) {
    for (const box of ticked) {
      box.checked = false;
    }
  } else if (changed.name === "gpu_type") {
    showGpus();
  } else if (changed.name === "image") {
    showTyped();
  }
}

// One more line in the editor of mounts.
function moreMounts(button) {
  const rows = document.querySelectorAll("[data-mount]");
  const row = rows[rows.length - 1].cloneNode(true);
  const number = rows.length;
  row.dataset.mount = number;
  row.querySelector("legend").textContent = row.querySelector("legend").textContent.replace(/\d+/, number + 1);
  for (const field of row.querySelectorAll("[name]")) {
    field.name = field.name.replace(/\d+/, number);
    if (field.type === "checkbox") {
      field.checked = false;
    } else {
      field.value = "";
    }
  }
  button.before(row);
  button.hidden = number + 1 >= Number(button.dataset.most);
  row.querySelector("select").focus();
}

// Show another profile, or other choices, without losing the name that was typed and the group that was chosen.
async function go(url, focus) {
  const wanted = new URL(url, window.location.href);
  for (const id of ["field-name", "field-group"]) {
    const field = document.getElementById(id);
    if (field?.value && !wanted.searchParams.has(field.name) && field.name) {
      wanted.searchParams.set(field.name, field.value);
    }
  }
  const answer = await fetch(wanted, { headers: headers() });
  if (!answer.ok) {
    window.location.assign(wanted);
    return;
  }
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const arrived = page.getElementById("launch");
  if (!arrived) {
    window.location.assign(wanted);
    return;
  }
  latest += 1; // What was asked about the old choices is not wanted any more.
  const list = document.getElementById("profile-list");
  const { scrollTop } = list ?? {};
  find = document.getElementById("find")?.value ?? "";
  root().replaceChildren(...arrived.childNodes);
  window.history.replaceState(null, "", wanted);
  begin();
  if (list) {
    document.getElementById("profile-list").scrollTop = scrollTop;
  }
  document.querySelector(focus)?.focus({ preventScroll: true });
}

// Show only the profiles in whose text every word stands.
function search() {
  const words = document.getElementById("find").value.toLowerCase().split(/\s+/).filter(Boolean);
  const found = document.getElementById("found");
  let count = 0;
  for (const card of document.querySelectorAll("[data-card]")) {
    const text = card.textContent.toLowerCase();
    card.hidden = !words.every((word) => text.includes(word));
    count += card.hidden ? 0 : 1;
  }
  for (const section of document.querySelectorAll(".mlab-profile-section")) {
    section.hidden = !section.querySelector("[data-card]:not([hidden])");
  }
  found.textContent = count ? found.dataset.some.replace("{count}", count) : found.dataset.none;
}

document.addEventListener("input", (event) => {
  if (event.target.id === "find") {
    search();
    soon(true);
  } else if (event.target.form === form()) {
    agree(event.target);
    soon(event.target.name === "group");
  }
});

document.addEventListener("click", (event) => {
  if (event.target.id === "more-mounts") {
    moreMounts(event.target);
    return;
  }
  const link = event.target.closest("a[data-profile], a[data-choose]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) {
    return;
  }
  event.preventDefault();
  const focus = link.dataset.profile ? `a[data-profile="${CSS.escape(link.dataset.profile)}"]` : "#start";
  go(link.href, focus).catch(() => window.location.assign(link.href));
});

// Starting -------------------------------------------------------------------------------------------------------

// One press starts one server; the button says that it was heard.
document.addEventListener("submit", (event) => {
  const button = event.submitter?.offsetParent && event.submitter.dataset.busy ? event.submitter : null;
  const start = button ?? event.target.querySelector("[data-busy]");
  if (root()?.contains(event.target) && start) {
    window.clearTimeout(timer);
    start.dataset.ready = start.innerHTML;
    start.textContent = start.dataset.busy;
    start.classList.add("disabled");
  }
});

// Back from the next page: the choices may have changed, and the button must work again.
window.addEventListener("pageshow", (event) => {
  for (const start of document.querySelectorAll("[data-ready]")) {
    start.innerHTML = start.dataset.ready;
    start.classList.remove("disabled");
  }
  if (event.persisted) {
    refresh(true);
  }
});

function begin() {
  addSliders();
  showTyped();
  showGpus();
  const box = document.getElementById("find");
  if (box && find) {
    box.value = find;
    search();
  }
  const list = document.getElementById("profile-list");
  const chosen = list?.querySelector("[aria-current]");
  if (chosen && chosen.getBoundingClientRect().bottom > list.getBoundingClientRect().bottom) {
    list.scrollTop += chosen.getBoundingClientRect().top - list.getBoundingClientRect().top - 48;
  }
  window.clearTimeout(timer);
  timer = window.setTimeout(refresh, EVERY_MS, true);
}

begin();
