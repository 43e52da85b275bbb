// A button that runs the Python file in a terminal, until somebody installs Microsoft's Python extension, which has one.
const vscode = require("vscode");

const NAME = "Python";
const FULL = "ms-python.python";

const quote = (text) => `'${text.replaceAll("'", "'\\''")}'`;

async function run(address) {
  const document = address
    ? await vscode.workspace.openTextDocument(address)
    : vscode.window.activeTextEditor?.document;
  if (!document) return;
  if (document.isUntitled ? !(await vscode.workspace.save(document.uri)) : document.isDirty && !(await document.save())) return;
  const file = document.isUntitled ? vscode.window.activeTextEditor?.document.uri : document.uri;
  if (file?.scheme !== "file") return;
  const terminal =
    vscode.window.terminals.find((one) => one.name === NAME && one.exitStatus === undefined) ??
    vscode.window.createTerminal({ name: NAME });
  terminal.show();
  terminal.sendText(`python ${quote(file.fsPath)}`);
}

exports.activate = (context) => {
  const look = () =>
    vscode.commands.executeCommand("setContext", "mlabhub.runsPython", !vscode.extensions.getExtension(FULL));
  context.subscriptions.push(
    vscode.commands.registerCommand("mlabhub.runPython", run),
    vscode.extensions.onDidChange(look),
  );
  return look();
};
