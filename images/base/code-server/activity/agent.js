// The agent of this server (extensions/agent), at its unix socket: how the server stands, and what a person asks for.
const { request } = require("node:http");
const vscode = require("vscode");

const SOCKET = process.env.MLABHUB_AGENT_SOCKET;
const PATIENCE_MS = 30_000;
const LARGEST = 1024 * 1024;

// Returns the answer's JSON. A refusal is an Error whose message is a sentence for people.
function ask(method, path, body) {
  return new Promise((resolve, reject) => {
    const content = body === undefined ? "" : JSON.stringify(body);
    const headers = {
      "Accept-Language": vscode.env.language,
      "Content-Type": "application/json",
      "Content-Length": Buffer.byteLength(content),
    };
    const call = request({ socketPath: SOCKET, method, path, headers, timeout: PATIENCE_MS }, (answer) => {
      let text = "";
      answer.setEncoding("utf8");
      answer.on("data", (piece) => {
        text += piece;
        if (text.length > LARGEST) call.destroy(new Error("too long"));
      });
      answer.on("error", reject);
      answer.on("end", () => {
        try {
          const said = JSON.parse(text);
          if (answer.statusCode < 300) resolve(said);
          else reject(new Error(said.error.message));
        } catch (fault) {
          reject(fault);
        }
      });
    });
    call.on("timeout", () => call.destroy(new Error("no answer")));
    call.on("error", reject);
    call.end(content);
  });
}

module.exports = { ask, hasAgent: Boolean(SOCKET) };
