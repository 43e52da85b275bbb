// From the person's keyboard to the desktop. A text field nobody sees holds the focus in place of the picture, because
// only a text field is given pasted text, what an input method composes, and the keys of an on-screen keyboard.
//
// Keys go to noVNC as they are. Composed text goes as keys where every keyboard has them, else through the desktop's
// clipboard: an X server has room for about twenty letters that its keyboard lacks, and Chinese needs thousands.

const FILLER = "  "; // Something for an on-screen keyboard to delete, and the beginning of a word to it.
const LEADS_OUT = ["Control", "Alt", "Shift"]; // together
const PASTE_PATIENCE = 200; // ms for the browser to hand over what is pasted
const TAKE_PATIENCE = 800; // ms for the desktop to fetch a composed text
const TAKEN = 200; // ms from then on for the program that it is meant for: a clipboard manager may have been first
const KEYSYMS = { "\n": [0xff0d, "Enter"], "\t": [0xff09, "Tab"] };

export const EXTRA = {
  escape: [0xff1b, "Escape"],
  tab: [0xff09, "Tab"],
  backspace: [0xff08, "Backspace"],
  delete: [0xffff, "Delete"],
  insert: [0xff63, "Insert"],
  control: [0xffe3, "ControlLeft"],
  alt: [0xffe9, "AltLeft"],
  shift: [0xffe1, "ShiftLeft"],
  super: [0xffeb, "MetaLeft"],
};

export class Keys extends EventTarget {
  constructor({ field, connection, clipboard }) {
    super();
    this.field = field;
    this.connection = connection;
    this.clipboard = clipboard;
    this.canvas = null;
    this.down = new Map(); // code -> the event that pressed it
    this.leaving = false; // Ctrl, Alt and Shift are down, and nothing else was
    this.texts = Promise.resolve(); // composed texts, one after the other
    this.empty();
    const on = (name, handler) => field.addEventListener(name, handler);
    on("keydown", (event) => this.#pressed(event));
    on("keyup", (event) => this.#released(event));
    on("paste", (event) => this.#pasted(event));
    on("compositionend", () => this.#typed());
    on("input", (event) => event.isComposing || this.#typed());
    on("blur", () => this.releaseAll());
  }

  // Put the focus where keys go to the desktop.
  focus() {
    this.field.focus({ preventScroll: true });
  }

  // Show the on-screen keyboard of a tablet or phone, or keep it away.
  setOnScreen(wanted) {
    this.field.inputMode = wanted ? "text" : "none";
    this.field.blur();
    this.focus();
  }

  // Press or release one of the extra keys; without `down`, both.
  extra(name, down) {
    this.connection.rfb?.sendKey(...EXTRA[name], down);
  }

  empty() {
    this.field.value = FILLER;
    this.field.setSelectionRange(FILLER.length, FILLER.length);
  }

  releaseAll() {
    for (const event of this.down.values()) {
      this.#forward("keyup", event);
    }
    this.down.clear();
    this.leaving = false;
  }

  // Type a text into the desktop, after those before it.
  type(text) {
    this.texts = this.texts.then(() => this.#send(text)).catch(() => {});
    return this.texts;
  }

  #pressed(event) {
    if (event.isComposing || event.key === "Process" || event.key === "Dead" || event.keyCode === 229) {
      return; // The input method takes it, and the text comes as a whole.
    }
    if (!this.connection.usable) {
      if (event.key !== "Tab") {
        event.preventDefault();
        this.dispatchEvent(new Event("unsent"));
      }
      return;
    }
    if (isPaste(event)) {
      this.#expectPaste(event);
      return;
    }
    event.preventDefault();
    this.down.set(event.code, event);
    this.leaving = isModifier(event.code) && LEADS_OUT.every((name) => this.#holds(name));
    this.#forward("keydown", event);
  }

  #released(event) {
    if (this.leaving && isModifier(event.code)) {
      this.releaseAll();
      this.dispatchEvent(new Event("leave"));
      return;
    }
    this.down.delete(event.code);
    this.#forward("keyup", event);
  }

  #holds(name) {
    return this.down.has(`${name}Left`) || this.down.has(`${name}Right`);
  }

  // The browser hands the text over after the key, and only if nobody takes the key.
  #expectPaste(event) {
    this.pasting = event;
    window.clearTimeout(this.pasteTimer);
    this.pasteTimer = window.setTimeout(() => this.#pasteKey(), PASTE_PATIENCE);
  }

  #pasted(event) {
    event.preventDefault();
    const text = event.clipboardData?.getData("text/plain") ?? "";
    if (text && this.connection.usable) {
      this.clipboard.give(text);
    }
    if (this.pasting) {
      this.#pasteKey();
    } else if (text) {
      this.type(text); // From the browser's own menu: no key says where it goes.
    }
  }

  #pasteKey() {
    window.clearTimeout(this.pasteTimer);
    const event = this.pasting;
    this.pasting = null;
    if (!event || !this.connection.usable) {
      return;
    }
    if (event.metaKey) {
      this.releaseAll(); // A Mac's Cmd+V: what the desktop knows is Ctrl+V.
      this.extra("control", true);
      this.connection.rfb.sendKey("v".codePointAt(0), "KeyV");
      this.extra("control", false);
      return;
    }
    this.#forward("keydown", event);
    this.#forward("keyup", event);
  }

  // The field has changed: text was added to the filler, or the filler deleted.
  #typed() {
    const { value } = this.field;
    this.empty();
    if (!this.connection.usable) {
      this.dispatchEvent(new Event("unsent"));
      return;
    }
    if (value.startsWith(FILLER)) {
      const text = value.slice(FILLER.length);
      if (text) {
        this.type(text);
      }
    } else {
      this.extra("backspace");
    }
  }

  async #send(text) {
    const { rfb } = this.connection;
    if (!rfb) {
      return;
    }
    if (/^[\t\n\x20-\x7e]*$/.test(text)) {
      for (const letter of text) {
        const [keysym, code] = KEYSYMS[letter] ?? [letter.codePointAt(0), null];
        rfb.sendKey(keysym, code);
      }
      return;
    }
    const taken = new Promise((resolve) => {
      this.connection.addEventListener("clipboardtaken", resolve, { once: true });
      window.setTimeout(resolve, TAKE_PATIENCE);
    });
    this.clipboard.lend(text);
    this.extra("shift", true);
    this.extra("insert");
    this.extra("shift", false);
    await taken;
    await new Promise((resolve) => window.setTimeout(resolve, TAKEN));
  }

  // noVNC listens on the picture; it is given a copy of each event.
  #forward(type, event) {
    const states = {};
    for (const name of ["CapsLock", "NumLock", "AltGraph"]) {
      states[`modifier${name}`] = event.getModifierState(name);
    }
    const { key, code, location, repeat, ctrlKey, altKey, shiftKey, metaKey } = event;
    const copy = { key, code, location, repeat, ctrlKey, altKey, shiftKey, metaKey, ...states };
    this.canvas?.dispatchEvent(new KeyboardEvent(type, { ...copy, cancelable: true }));
  }
}

function isModifier(code) {
  return LEADS_OUT.some((name) => code.startsWith(name));
}

// Ctrl+V, Cmd+V, with Shift for terminals, and Shift+Insert.
function isPaste(event) {
  const letter = event.code === "KeyV" && (event.ctrlKey || event.metaKey) && !event.altKey;
  return letter || (event.key === "Insert" && event.shiftKey && !event.ctrlKey && !event.altKey);
}
