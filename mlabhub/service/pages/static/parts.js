// Exchange parts of a page for what they say now, without taking anything away from under a hand or a screen reader.

import { localTimes } from "./times.js";

let pressed = null;

document.addEventListener("pointerdown", (event) => {
  pressed = event.target;
});
for (const over of ["pointerup", "pointercancel"]) {
  document.addEventListener(over, () => {
    pressed = null;
  });
}

// How long is left changes every second by itself, and is no news.
const withoutCountdowns = (html) => html.replace(/(data-left=")\d+("[^>]*>)[^<]*/g, "$1$2");

// What somebody has typed is not taken from them, unless there is no place for it any more.
const typed = (element) => [...element.querySelectorAll("input[type=text]")].some((one) => one.value !== "");

// What is opened stays open.
function keepOpen(before, after) {
  for (const one of before.querySelectorAll("details[id]")) {
    const same = after.querySelector(`#${CSS.escape(one.id)}`);
    if (same) {
      same.open = one.open;
    }
  }
}

// Put new text into an element, unless it says the same already: what has the focus keeps it, and nothing is read out
// twice. Returns whether it was exchanged.
export function put(element, html, otherwise = "") {
  const news = withoutCountdowns(html);
  if (!element || element.shown === news || element.contains(pressed)) {
    return false; // Under a press that is not over yet nothing is exchanged, or the click would be lost.
  }
  if (html.trim() && typed(element)) {
    return false;
  }
  const first = element.shown === undefined;
  const parsed = document.createElement("div");
  parsed.innerHTML = html; // Made by our own templates, which escape every value.
  localTimes(parsed);
  keepOpen(element, parsed);
  element.shown = news;
  if (first && withoutCountdowns(parsed.innerHTML).trim() === withoutCountdowns(element.innerHTML).trim()) {
    return false;
  }
  const focused = element.contains(document.activeElement) ? document.activeElement.id : "";
  element.replaceChildren(...parsed.childNodes);
  if (focused) {
    (document.getElementById(focused) ?? document.getElementById(otherwise))?.focus();
  }
  return true;
}
