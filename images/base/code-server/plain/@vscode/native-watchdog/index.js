// VS Code looks for its parent by a timer of its own as well; and what is left at the end is ended by whoever started it.
exports.start = () => {};
exports.exit = (code) => process.exit(code || 0);
