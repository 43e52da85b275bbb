// One clipboard, as far as the browser lets a page have one.
//
// Into the desktop: with the paste keys always, for the browser hands the text over with them; when the page gets the
// focus, where the person has allowed the page to read the clipboard; and through the panel.
// Out of it: at once where the browser allows it, else with the person's next key or click; and through the panel.

const CAPABLE = 1000; // ms after a connection stands: noVNC and desktop have agreed on UTF-8
const BACK = 1500; // ms after the last composed text: what was on the clipboard before comes back
const TYPED = 300; // ms after the last change in the panel

export class Clipboard extends EventTarget {
  constructor({ connection, field, panel }) {
    super();
    this.connection = connection;
    this.field = field; // holds the focus while the desktop is used
    this.panel = panel; // the text field that a person sees
    this.shared = null; // what both sides have
    this.lent = null; // a composed text on its way through the desktop's clipboard
    this.waiting = null; // from the desktop, not yet on the browser's clipboard
    this.reads = "no"; // whether the page may read the browser's clipboard: granted, prompt, denied, no
    connection.addEventListener("clipboard", (event) => this.#arrived(event.detail.text));
    connection.addEventListener("picture", () => {
      this.shared = null;
    });
    connection.addEventListener("state", (event) => {
      if (event.detail === "connected") {
        window.setTimeout(() => this.look(), CAPABLE);
      }
    });
    window.addEventListener("focus", () => window.setTimeout(() => this.look()));
    for (const gesture of ["keyup", "pointerup"]) {
      window.addEventListener(gesture, () => this.#deliver(), { capture: true });
    }
    panel.addEventListener("input", () => {
      window.clearTimeout(this.typed);
      this.typed = window.setTimeout(() => this.give(panel.value), TYPED);
    });
    this.#askBrowser();
  }

  // Put a text on the desktop's clipboard.
  give(text) {
    const { rfb, usable } = this.connection;
    if (!usable || text === this.shared) {
      return;
    }
    this.shared = text;
    this.#show(text);
    rfb.clipboardPasteFrom(text);
  }

  // Put a text there for a moment only: it is about to be pasted.
  lend(text) {
    this.lent = text;
    this.connection.rfb.clipboardPasteFrom(text);
    window.clearTimeout(this.back);
    this.back = window.setTimeout(() => {
      this.lent = null;
      if (this.shared !== null && this.connection.usable) {
        this.connection.rfb.clipboardPasteFrom(this.shared);
      }
    }, BACK);
  }

  // Take what is on the browser's clipboard, if the person has allowed it.
  async look() {
    if (this.reads !== "granted" || !document.hasFocus() || !this.connection.usable) {
      return;
    }
    try {
      const text = await navigator.clipboard.readText();
      if (text) {
        this.give(text);
      }
    } catch {
      // No text on it, or the focus has gone again.
    }
  }

  // Have the browser ask the person. Called from a click.
  async allow() {
    try {
      this.give(await navigator.clipboard.readText());
    } catch {
      // The person said no: the state of the permission says so, too.
    }
    await this.#askBrowser();
  }

  // Copy the panel's text to the browser's clipboard. Called from a click.
  async copy() {
    this.waiting = this.panel.value;
    return this.#write(this.panel);
  }

  async #askBrowser() {
    try {
      const permission = await navigator.permissions.query({ name: "clipboard-read" });
      permission.onchange = () => this.#askBrowser();
      this.reads = window.isSecureContext ? permission.state : "no";
    } catch {
      this.reads = "no"; // Firefox and Safari show a button of their own at every single read.
    }
    this.dispatchEvent(new Event("change"));
    this.look();
  }

  #arrived(text) {
    if (!text || text === this.lent || text === this.shared) {
      return;
    }
    this.shared = text;
    this.waiting = text;
    this.#show(text);
    this.#write(this.field);
  }

  #show(text) {
    this.panel.value = text;
  }

  #deliver() {
    if (this.waiting !== null && document.activeElement === this.field) {
      this.#write(this.field);
    }
  }

  // Put `waiting` on the browser's clipboard, by the new way or the old one, which works without https as well.
  async #write(through) {
    const text = this.waiting;
    let done = false;
    try {
      await navigator.clipboard.writeText(text);
      done = true;
    } catch {
      done = this.#copyThrough(through, text);
    }
    if (done && this.waiting === text) {
      this.waiting = null;
    }
    this.dispatchEvent(new Event("change"));
    return done;
  }

  #copyThrough(field, text) {
    if (document.activeElement !== field && field === this.field) {
      return false;
    }
    const { value } = field;
    field.value = text;
    field.select();
    const done = document.execCommand("copy");
    field.value = value;
    field.setSelectionRange(value.length, value.length);
    return done;
  }
}
