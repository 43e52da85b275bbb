// How this server stands, in the status bar: how busy its GPUs are, when it counts as idle; a warning with what can be
// done about it. What is shown comes from the agent; nothing of the window is looked at but whether it has the focus.
const vscode = require("vscode");
const { ask } = require("./agent.js");
const { said, say, span } = require("./words.js");

const EVERY_MS = 30_000;
const EVERY_WARNED_MS = 15_000;
const KEEP_S = 2 * 3600;
const OLD_S = 300;
const COMMAND = "mlabhub.idle";

let bar, timer, view;
let shown = null; // the time of the warning that this window shows, or has shown

const isKnown = () => view !== undefined && view.age !== null && view.age < OLD_S;
const canKeep = () => isKnown() && (view.keep?.left ?? 0) > 0;
const keepSeconds = () => Math.min(KEEP_S, view.keep?.most_s ?? KEEP_S);
const keepWords = () => (keepSeconds() === KEEP_S ? say("keep") : say("keepFor", span(keepSeconds())));

function use() {
  if (view.gpu) return view.gpu.percent === null ? "" : say("gpu", Math.round(view.gpu.percent));
  return view.cpu_cores === null ? "" : say("cpu", view.cpu_cores.toFixed(1));
}

function standing() {
  if (view.verdict === "warned" || view.verdict === "stop") {
    if (view.deadline_in === null) return say("idle");
    return view.deadline_in < 30 ? say("over") : say("left", span(view.deadline_in));
  }
  if (view.verdict === "unknown") return say("unknown");
  return view.due_in === null ? "" : view.due_in > 0 ? say("idleIn", span(view.due_in)) : say("idle");
}

function tooltip() {
  const lines = [said(view.text) || say("unsaid")];
  const quota = view.quota;
  if (quota) {
    const most = quota.limit ?? quota.guaranteed;
    lines.push(most === null ? say("quota", quota.group, quota.used) : say("quotaOf", quota.group, quota.used, most));
  }
  if (view.age > 90) lines.push(say("asOf", span(view.age)));
  return lines.join("\n");
}

function draw() {
  const warned = isKnown() && ["warned", "stop"].includes(view.verdict);
  const parts = isKnown() ? [use(), standing()].filter(Boolean) : [say("unknown")];
  bar.text = `$(${warned ? "warning" : "pulse"}) ${parts.join(" · ")}`;
  bar.tooltip = isKnown() ? tooltip() : say("unsaid");
  bar.accessibilityInformation = { label: `${say("name")}: ${parts.join(", ")}` };
  bar.backgroundColor = warned ? new vscode.ThemeColor("statusBarItem.warningBackground") : undefined;
  bar.show();
}

async function look() {
  try {
    view = await ask("GET", "/idle");
  } catch {
    view = undefined; // the server ends, or the agent has: nothing is known
  }
  show();
}

function show() {
  draw();
  const warning = isKnown() ? view.warning : null;
  if (warning && warning.at !== shown) {
    shown = warning.at;
    warn(warning);
  }
  clearTimeout(timer);
  timer = setTimeout(look, warning ? EVERY_WARNED_MS : EVERY_MS);
}

async function warn(warning) {
  const actions = new Map();
  if (canKeep()) actions.set(keepWords(), keep);
  if (view.can_release) actions.set(say("release"), release);
  const sentence = [said(warning.title), said(warning.body)].join(" ");
  const answer = vscode.window.showWarningMessage(sentence, ...actions.keys());
  tellSeen(warning.at);
  await actions.get(await answer)?.();
}

// This program goes on for days when the browser is closed, and a page may be behind others: only one that answers, and
// has the focus, was seen.
async function tellSeen(at) {
  await vscode.commands.executeCommand("setContext", "mlabhub.warned", true);
  if (vscode.window.state.focused) {
    await wish("/idle/seen", { warning: at });
    return;
  }
  const waiting = vscode.window.onDidChangeWindowState((state) => {
    if (!state.focused) return;
    waiting.dispose();
    if (view?.warning?.at === at) wish("/idle/seen", { warning: at });
  });
}

// Returns whether it was done; if not, says why.
async function wish(path, body) {
  try {
    view = await ask("POST", path, body);
  } catch (fault) {
    vscode.window.showErrorMessage(say("failed", fault.message));
    return false;
  }
  show();
  return true;
}

async function keep() {
  const reason = await vscode.window.showInputBox({ title: keepWords(), prompt: say("reason"), ignoreFocusOut: true });
  if (reason === undefined) return;
  const seconds = keepSeconds();
  if (await wish("/idle/keep", { seconds, reason })) vscode.window.showInformationMessage(say("kept", span(seconds)));
}

async function release() {
  const answer = await vscode.window.showWarningMessage(say("sure"), { modal: true }, say("yes"));
  if (answer !== say("yes")) return;
  if (await wish("/idle/release", {})) vscode.window.showInformationMessage(say("releasing"));
}

// The hub's pages are at the address at which the browser sees this one; only the browser knows it.
async function openPage() {
  const here = await vscode.env.asExternalUri(vscode.Uri.parse("http://localhost:1/"));
  await vscode.env.openExternal(here.with({ path: view.page, query: "", fragment: "" }));
}

async function choose() {
  await look();
  const choices = [];
  const offer = (icon, label, act, more) => choices.push({ label: `$(${icon}) ${label}`, act, ...more });
  if (canKeep()) offer("clock", keepWords(), keep, { description: say("timesLeft", view.keep.left) });
  if (view?.can_release) offer("debug-disconnect", say("release"), release, { detail: say("releaseDetail") });
  if (view?.page) offer("graph", say("page"), openPage);
  const placeHolder = isKnown() ? said(view.text) : say("unsaid");
  const picked = await vscode.window.showQuickPick(choices, { title: say("name"), placeHolder });
  await picked?.act();
}

exports.start = (context) => {
  bar = vscode.window.createStatusBarItem("mlabhub.idle", vscode.StatusBarAlignment.Right, 1000);
  bar.name = say("name");
  bar.command = COMMAND;
  vscode.commands.executeCommand("setContext", "mlabhub.hasAgent", true);
  context.subscriptions.push(bar, vscode.commands.registerCommand(COMMAND, choose), {
    dispose: () => clearTimeout(timer),
  });
  look();
};
