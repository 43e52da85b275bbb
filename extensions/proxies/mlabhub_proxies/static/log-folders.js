// The page of the log folders: suggest how the path goes on while it is typed, and tell that somebody is here.
import { ask } from "./ask.js";
import { reportUse } from "./use.js";

const form = document.querySelector("form.add");
const input = document.getElementById("path");
const list = document.getElementById("completions");
let asked = 0;

async function suggest() {
  const turn = ++asked;
  try {
    const answer = await ask(`${form.dataset.completions}?beginning=${encodeURIComponent(input.value || "/")}`);
    if (!answer.ok || turn !== asked) return;
    const { completions } = await answer.json();
    list.replaceChildren(...completions.map((path) => new Option(path, path)));
  } catch {
    // Without a line there are no suggestions; the form says so itself when it is sent.
  }
}

let timer;
input.addEventListener("input", () => {
  clearTimeout(timer);
  timer = setTimeout(suggest, 200);
});
input.addEventListener("focus", suggest, { once: true });
reportUse(`${form.dataset.completions}/use`);
