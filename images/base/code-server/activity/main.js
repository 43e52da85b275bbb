// Touches a file while a person is at work in this window: VS Code itself says whether one is, and stops saying so a
// minute after the last key or movement. Neither files, nor what is typed, nor which extensions there are is looked at.
// And shows how the server stands (idle.js).
const { closeSync, futimesSync, openSync } = require("node:fs");
const vscode = require("vscode");
const { hasAgent } = require("./agent.js");
const idle = require("./idle.js");

const FILE = process.env.MLABHUB_VSCODE_ACTIVE;
const EVERY_MS = 30_000;

function touch() {
  if (!vscode.window.state.active) return;
  try {
    const file = openSync(FILE, "a", 0o600);
    const now = new Date();
    futimesSync(file, now, now);
    closeSync(file);
  } catch {
    // The disk is full, or the server ends. Nothing is worth a message here.
  }
}

exports.activate = (context) => {
  if (hasAgent) idle.start(context);
  if (!FILE) return;
  const timer = setInterval(touch, EVERY_MS);
  context.subscriptions.push(vscode.window.onDidChangeWindowState(touch), { dispose: () => clearInterval(timer) });
  touch();
};
