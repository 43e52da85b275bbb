// Show on a server's page how the browser reaches the server: tried from here, judged by the server's own doctor.

import { makeTrials } from "./trials.js";

const FRESH_MS = 60 * 1000;
const ANSWER_MS = 20 * 1000; // on a machine that is busy, the server's own checks take a while
const MOST_FINDINGS = 40;
const LONGEST = 600;
const MARKS = { missing: "✗", better: "△", ok: "✓", info: "·" };

const part = document.querySelector('[data-part="reach"]');
let last = null;
let running = "";

const isJson = async (answer) => ({ ok: (answer.headers.get("content-type") ?? "").includes("json") });

// What a server answers is its owner's: texts of some length, and nothing else.
const read = (report) => report.findings.slice(0, MOST_FINDINGS).map((one) => ({
  status: Object.hasOwn(MARKS, one.status) ? one.status : "info",
  ...Object.fromEntries(["name", "found", "fix"].map((key) => [key, String(one[key] ?? "").slice(0, LONGEST)])),
}));

async function look(words) {
  const page = new URL(words.doctor, location.href);
  if (page.origin !== location.origin) {
    return { said: words.elsewhere };
  }
  // The key takes the place of the server's token against forged requests, which only its own pages can read.
  const ask = (address, options = {}) => {
    const headers = { Accept: "application/json", "X-Mlabhub-Key": words.key, ...options.headers };
    return fetch(address, { redirect: "error", ...options, headers });
  };
  const { request, tryAll } = makeTrials(ask, words.api);
  const first = await request(`${words.api}/time/first`, {}, isJson);
  if (!first.ok) {
    return { said: words[{ 200: "none", 403: "stranger", 404: "none" }[first.status] ?? "away"] };
  }
  const seen = await tryAll(page.origin + page.pathname);
  let findings = null;
  const options = { method: "POST", body: JSON.stringify({ seen, short: true }) };
  await request(`${words.api}?lang=${words.language}`, options, async (answer) => {
    findings = read(await answer.json());
    return {};
  }, ANSWER_MS);
  return findings ? { findings } : { said: words.away };
}

// What stands between backticks is to be typed.
function line(kind, text) {
  const paragraph = document.createElement("p");
  paragraph.className = kind;
  text.split("`").forEach((piece, number) => {
    paragraph.append(number % 2 ? Object.assign(document.createElement("code"), { textContent: piece }) : piece);
  });
  return paragraph;
}

function row(words, one) {
  const item = document.createElement("li");
  item.className = `mlab-reach-${one.status}`;
  const mark = document.createElement("span");
  mark.className = "mlab-reach-mark";
  mark.textContent = `${MARKS[one.status]} ${words[`${one.status}Word`]}`;
  item.append(mark, line("mlab-reach-name", one.name), line("mlab-reach-found", one.found));
  if (one.fix) {
    item.append(line("mlab-reach-fix", one.fix));
  }
  return item;
}

function show(box, outcome) {
  const words = box.dataset;
  const findings = outcome.findings ?? [];
  const wrong = findings.filter((one) => one.status === "missing" || one.status === "better");
  const fine = findings.filter((one) => !wrong.includes(one));
  const worst = ["missing", "better"].find((status) => wrong.some((one) => one.status === status)) ?? "fine";
  const said = box.querySelector("#reach-said");
  const text = outcome.said ?? words[worst];
  if (said.textContent !== text) {
    said.textContent = text;
  }
  const clock = { hour: "2-digit", minute: "2-digit" };
  const time = new Date(outcome.at).toLocaleTimeString(document.documentElement.lang, clock);
  const fresh = Date.now() - outcome.at < FRESH_MS;
  box.querySelector("#reach-when").textContent = fresh ? words.now : words.then.replace("{time}", time);
  box.querySelector("#reach-wrong").replaceChildren(...wrong.map((one) => row(words, one)));
  box.querySelector("#reach-fine").replaceChildren(...fine.map((one) => row(words, one)));
  box.querySelector("#reach-more").hidden = fine.length === 0;
  box.querySelector("#reach-again").disabled = running !== "";
}

// The part may be exchanged at any time: what is known is shown anew, and a server that is new is looked at.
async function run() {
  const box = part.querySelector("#reach");
  if (!box || running || document.hidden) {
    return;
  }
  running = box.dataset.api;
  box.querySelector("#reach-said").textContent = box.dataset.running;
  box.querySelector("#reach-when").textContent = "";
  box.querySelector("#reach-again").disabled = true;
  const outcome = await look({ ...box.dataset }).catch(() => ({ said: box.dataset.away }));
  last = { ...outcome, api: running, at: Date.now() };
  running = "";
  place();
}

function place() {
  const box = part.querySelector("#reach");
  if (box && last?.api === box.dataset.api) {
    show(box, last);
  } else {
    run();
  }
}

part.addEventListener("click", (event) => event.target.closest("#reach-again") && run());
new MutationObserver(place).observe(part, { childList: true });
document.addEventListener("visibilitychange", place);
window.setInterval(() => last && place(), FRESH_MS);
place();
