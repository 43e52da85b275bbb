// The doctor's page: try what the tools rely on, send what was seen, and show what the server makes of it.
import { ask } from "./ask.js";

const box = document.getElementById("doctor");
const words = box.dataset;
const summary = document.getElementById("summary");
const PATIENCE_MS = 3500;
const ANSWER_MS = 20000; // on a machine that is busy, the server's own checks take a while
const UPLOAD_BYTES = 2 << 20; // the usual limit of proxies is one MiB
const HEADER_BYTES = 6000;
const UNUSUAL = "a%20b%2Fc//d%25e";

// Every trial ends: what takes too long has failed.
function patiently(work, longest = PATIENCE_MS) {
  const stop = new AbortController();
  let timer;
  const late = new Promise((_, fail) => {
    timer = setTimeout(() => { stop.abort(); fail(new Error("")); }, longest);
  });
  return Promise.race([work(stop.signal), late]).finally(() => clearTimeout(timer));
}

// A request's outcome, and what `judge` makes of an answer.
async function request(path, options, judge, longest) {
  try {
    return await patiently(async (signal) => {
      const answer = await ask(path, { signal, cache: "no-store", ...options });
      if (!answer.ok) return { ok: false, status: answer.status };
      return { status: answer.status, ...(await judge(answer)) };
    }, longest);
  } catch (fault) {
    return { ok: false, status: 0, said: String(fault.message).slice(0, 200) };
  }
}

async function websocket(trial) {
  const begun = performance.now();
  const address = new URL(`${words.api}/echo?trial=${trial}`, location.href);
  address.protocol = address.protocol.replace("http", "ws");
  let socket;
  try {
    await patiently(() => new Promise((done, fail) => {
      socket = new WebSocket(address);
      socket.onopen = () => socket.send(trial);
      socket.onmessage = (event) => (event.data === trial ? done() : fail(new Error("")));
      socket.onerror = socket.onclose = () => fail(new Error(""));
    }));
    return { websocket: { ok: true }, seconds: (performance.now() - begun) / 1000 };
  } catch {
    // Why, no page is told; the server remembers how the request arrived.
    return { websocket: { ok: false } };
  } finally {
    if (socket) {
      socket.onerror = socket.onclose = null;
      socket.close();
    }
  }
}

async function clock() {
  const begun = Date.now();
  let theirs;
  const kept = await request(`${words.api}/time/${UNUSUAL}`, {}, async (answer) => {
    const said = await answer.json();
    theirs = said.time;
    return { ok: said.path === UNUSUAL, said: String(said.path).slice(0, 200) };
  });
  return { kept, ...(theirs ? { clock: (begun + Date.now()) / 2000 - theirs } : {}) };
}

async function stream() {
  const times = [];
  await request(`${words.api}/stream`, {}, async (answer) => {
    const reader = answer.body.getReader();
    while (!(await reader.read()).done) times.push(performance.now() / 1000);
    return {};
  });
  return times.length ? { stream: [times[0], times.at(-1)] } : {};
}

const sized = async (answer, bytes) => ({ ok: (await answer.json()).bytes === bytes });

async function upload() {
  const options = { method: "POST", body: new Uint8Array(UPLOAD_BYTES) };
  const outcome = await request(`${words.api}/upload`, options, (answer) => sized(answer, UPLOAD_BYTES));
  return { upload: { ...outcome, said: "2 MiB" } };
}

async function headers() {
  const options = { headers: { "X-Mlabhub-Padding": "x".repeat(HEADER_BYTES) } };
  const outcome = await request(`${words.api}/headers`, options, (answer) => sized(answer, HEADER_BYTES));
  return { headers: { ...outcome, said: "6 KB" } };
}

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
  const trial = Array.from(crypto.getRandomValues(new Uint8Array(8)), (one) => one.toString(16).padStart(2, "0")).join("");
  const tried = await Promise.all([websocket(trial), clock(), upload(), headers(), port(), worker()]);
  tried.push(await stream()); // alone: what is sent beside it delays its events, which would look like a proxy's doing
  const seen = Object.assign({ address: location.origin + location.pathname, secure: isSecureContext, trial }, ...tried);
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
