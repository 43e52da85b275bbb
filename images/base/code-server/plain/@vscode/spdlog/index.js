// Log files of a bounded size, as VS Code wants them: FILE.log, then FILE.1.log and so on, oldest last.
// A log that cannot be written (a full disk, say) is lost, and nothing else.
const fs = require("node:fs");
const path = require("node:path");

const LEVELS = ["trace", "debug", "info", "warning", "error", "critical"];

class Logger {
  constructor(kind, name, file, mostBytes, mostFiles) {
    this.file = file;
    this.mostBytes = mostBytes;
    this.mostFiles = mostFiles;
    this.level = 2;
    this.plain = false;
    this.descriptor = null;
    this.bytes = 0;
    this.quietly(() => this.open());
  }

  quietly(work) {
    try {
      work();
    } catch {
      this.descriptor = null;
    }
  }

  open() {
    fs.mkdirSync(path.dirname(this.file), { recursive: true });
    this.descriptor = fs.openSync(this.file, "a");
    this.bytes = fs.fstatSync(this.descriptor).size;
  }

  numbered(number) {
    const { dir, name, ext } = path.parse(this.file);
    return path.join(dir, number ? `${name}.${number}${ext}` : name + ext);
  }

  rotate() {
    fs.closeSync(this.descriptor);
    this.descriptor = null;
    for (let number = this.mostFiles - 1; number > 0; number--) {
      if (fs.existsSync(this.numbered(number - 1))) fs.renameSync(this.numbered(number - 1), this.numbered(number));
    }
    if (this.mostFiles <= 1) fs.rmSync(this.file, { force: true });
    this.open();
  }

  write(level, text) {
    if (level < this.level || this.descriptor === null) return;
    const time = new Date().toISOString().replace("T", " ").replace("Z", "");
    const line = Buffer.from(this.plain ? text : `${time} [${LEVELS[level]}] ${text}\n`);
    this.quietly(() => {
      if (this.bytes > 0 && this.bytes + line.length > this.mostBytes) this.rotate();
      fs.writeSync(this.descriptor, line);
      this.bytes += line.length;
    });
  }

  trace(text) { this.write(0, text); }
  debug(text) { this.write(1, text); }
  info(text) { this.write(2, text); }
  warn(text) { this.write(3, text); }
  error(text) { this.write(4, text); }
  critical(text) { this.write(5, text); }
  getLevel() { return this.level; }
  setLevel(level) { this.level = level; }
  setPattern() {}
  clearFormatters() { this.plain = true; }
  flush() {}
  drop() {
    if (this.descriptor !== null) this.quietly(() => fs.closeSync(this.descriptor));
    this.descriptor = null;
  }
}

const create = async (name, file, mostBytes, mostFiles) => new Logger("rotating", name, file, mostBytes, mostFiles);

module.exports = {
  Logger,
  createAsyncRotatingLogger: create,
  createRotatingLogger: create,
  setFlushOn() {},
  setLevel() {},
  version: 0,
};
