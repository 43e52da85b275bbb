// Make the launch page answer at once: the line below the choices follows them, and another profile comes without a
// reload. Everything works without this script, by links and by the form.

const QUIET_MS = 250;
let waiting = 0;
let latest = 0;

const root = () => document.getElementById("launch");
const form = () => document.getElementById("launch-form");

function headers() {
  return { "X-Xsrftoken": root().dataset.xsrf };
}

// Ask what would happen to the choices as they stand. Answers that come late are dropped.
async function refresh() {
  const mine = ++latest;
  const fields = new URLSearchParams(new FormData(form()));
  fields.delete("key");
  try {
    const answer = await fetch(root().dataset.preview, { method: "POST", headers: headers(), body: fields });
    if (answer.ok && mine === latest) {
      const { html } = await answer.json();
      // Made by our own template, which escapes every value.
      document.getElementById("forecast").innerHTML = html;
    }
  } catch {
    // The line keeps its last words; the form itself says if the hub is away.
  }
}

function soon() {
  window.clearTimeout(waiting);
  waiting = window.setTimeout(refresh, QUIET_MS);
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

// Show another profile, or another choice of this one, without losing the name that was typed.
async function go(url, focus) {
  const wanted = new URL(url, window.location.href);
  const name = document.getElementById("field-name");
  if (name?.value && !wanted.searchParams.has("name")) {
    wanted.searchParams.set("name", name.value);
  }
  const answer = await fetch(wanted, { headers: headers() });
  if (!answer.ok) {
    window.location.assign(url);
    return;
  }
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  root().replaceChildren(...page.getElementById("launch").childNodes);
  window.history.replaceState(null, "", wanted);
  addSliders();
  document.querySelector(focus)?.focus();
}

document.addEventListener("input", (event) => {
  if (form()?.contains(event.target)) {
    soon();
  }
});

document.addEventListener("change", (event) => {
  if (event.target.name === "group" || event.target.name === "gpus" || event.target.name === "gpu_type") {
    soon();
  }
});

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-profile], a[data-choose]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) {
    return;
  }
  event.preventDefault();
  const focus = link.dataset.profile ? `a[data-profile="${CSS.escape(link.dataset.profile)}"]` : "#start";
  go(link.href, focus).catch(() => window.location.assign(link.href));
});

// One press starts one server; the button says that it was heard.
document.addEventListener("submit", (event) => {
  const start = document.getElementById("start");
  if (event.target === form() && start) {
    start.dataset.ready = start.textContent;
    start.textContent = start.dataset.busy;
    start.classList.add("disabled");
  }
});

// Back from the next page: the choices may have changed, and the button must work again.
window.addEventListener("pageshow", (event) => {
  const start = document.getElementById("start");
  if (event.persisted && start?.dataset.ready) {
    start.textContent = start.dataset.ready;
    start.classList.remove("disabled");
    soon();
  }
});

addSliders();
