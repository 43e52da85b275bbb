// The doctor's page: try what the tools rely on, send what was seen, and show what the server makes of it.
import { ask } from "./ask.js";
import { makeTrials, patiently } from "./trials.js";

const box = document.getElementById("doctor");
const words = box.dataset;
const summary = document.getElementById("summary");
const ANSWER_MS = 20000; // on a machine that is busy, the server's own checks take a while
const { request, tryAll } = makeTrials(ask, words.api);

async function port() {
  let opened;
  const asked = await request(`${words.api}/port`, { method: "POST" }, async (answer) => {
    opened = await answer.json();
    return { ok: true };
  });
  if (!opened) return { port: asked };
  const judge = async (answer) => ({ ok: (await answer.text()) === opened.word });
  return { port: await request(`${words.base}proxy/${opened.port}/`, {}, judge) };
}

async function worker() {
  if (!navigator.serviceWorker) return { worker: { ok: false } };
  try {
    const folder = `${words.api}/worker/`;
    const registration = await patiently(() => navigator.serviceWorker.register(`${folder}worker.js`, { scope: folder }));
    await registration.unregister();
    return { worker: { ok: true } };
  } catch (fault) {
    return { worker: { ok: false, said: String(fault.message).slice(0, 200) } };
  }
}

async function look() {
  const seen = await tryAll(location.origin + location.pathname, [port(), worker()]);
  let report;
  const options = { method: "POST", body: JSON.stringify({ seen }) };
  // The language of the page, if its address chose one.
  await request(words.api + location.search, options, async (answer) => {
    report = await answer.json();
    return {};
  }, ANSWER_MS);
  return report;
}

function line(kind, text) {
  const paragraph = document.createElement("p");
  paragraph.className = kind;
  // What stands between backticks is to be typed.
  text.split("`").forEach((part, number) => {
    if (number % 2) paragraph.append(Object.assign(document.createElement("code"), { textContent: part }));
    else paragraph.append(part);
  });
  return paragraph;
}

function show(report) {
  const worst = ["missing", "better"].find((status) => report.findings.some((one) => one.status === status));
  summary.textContent = words[worst ?? "fine"];
  summary.className = `notice ${{ missing: "bad", better: "" }[worst] ?? "good"}`;
  const rows = report.findings.map((one) => {
    const row = document.createElement("li");
    row.className = one.status;
    row.dataset.slug = one.slug;
    const status = document.createElement("span");
    status.className = "status";
    status.textContent = `${{ ok: "✓", info: "·", better: "△", missing: "✗" }[one.status]} ${words[`${one.status}Word`]}`;
    row.append(status, line("name", one.name), line("found", one.found));
    if (one.fix) row.append(line("fix", one.fix));
    return row;
  });
  document.getElementById("findings").replaceChildren(...rows);
  const lines = report.findings.map((one) => `${one.status.padEnd(8)} ${one.name}: ${one.found}${one.fix ? `\n         -> ${one.fix}` : ""}`);
  const head = [new Date().toISOString(), location.origin + location.pathname, navigator.userAgent];
  document.getElementById("report").value = [...head, "", ...lines, ""].join("\n");
}

async function run() {
  const again = document.getElementById("again");
  again.disabled = true;
  summary.hidden = false;
  summary.className = "notice";
  summary.textContent = words.running;
  const report = await look();
  if (report) {
    show(report);
  } else {
    summary.className = "notice bad";
    summary.textContent = words.unreachable;
  }
  again.disabled = false;
  box.querySelector(".actions").hidden = false;
  document.getElementById("copy").hidden = !report;
}

async function copy() {
  const report = document.getElementById("report");
  try {
    await navigator.clipboard.writeText(report.value);
    document.getElementById("copy").textContent = words.copied;
  } catch {
    // Without a secure context there is no clipboard: the text itself can be taken.
    report.hidden = false;
    report.select();
  }
}

document.getElementById("blocked").hidden = true;
document.getElementById("again").addEventListener("click", run);
document.getElementById("copy").addEventListener("click", copy);
run();
