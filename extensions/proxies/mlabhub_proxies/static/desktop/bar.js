// The bar above the picture: its panels, full screen, keys that a tablet lacks, stopping the desktop.

import { ask } from "../ask.js";
import { save } from "./settings.js";

const byId = (id) => document.getElementById(id);

export class Bar {
  constructor({ connection, keys, clipboard, screen, picture, settings }) {
    Object.assign(this, { connection, keys, clipboard, screen, picture, settings });
    this.buttons = [...document.querySelectorAll("[data-panel]")];
    this.#panels();
    this.#folding();
    this.#fullScreen();
    this.#extraKeys();
    this.#clipboardPanel();
    this.#picturePanel();
    this.#stopping();
    keys.addEventListener("leave", () => this.enter());
    // A click into the picture closes what is open above it, and takes the focus.
    byId("place").addEventListener("pointerdown", () => {
      this.open(null);
      keys.focus();
    });
  }

  // Put the focus into the bar.
  enter() {
    this.fold(false);
    byId("full-screen").focus();
  }

  open(name) {
    for (const button of this.buttons) {
      const shown = button.dataset.panel === name;
      button.setAttribute("aria-expanded", shown);
      byId(`panel-${button.dataset.panel}`).hidden = !shown;
    }
    const panel = name && byId(`panel-${name}`);
    (panel?.querySelector("textarea, input:checked") ?? panel?.querySelector("button"))?.focus();
  }

  fold(folded) {
    byId("bar").classList.toggle("folded", folded);
    const button = byId("fold");
    button.setAttribute("aria-expanded", !folded);
    button.textContent = folded ? button.dataset.open : button.dataset.close;
    this.settings.bar = !folded;
    save(this.settings);
  }

  #panels() {
    for (const button of this.buttons) {
      const name = button.dataset.panel;
      const panel = byId(`panel-${name}`);
      button.addEventListener("click", () => {
        const opened = button.getAttribute("aria-expanded") === "true";
        this.open(opened ? null : name);
        if (opened) {
          this.keys.focus();
        }
      });
      panel.addEventListener("keydown", (event) => {
        if (event.key === "Escape") {
          this.open(null);
          button.focus();
        }
      });
    }
  }

  #folding() {
    this.fold(!this.settings.bar);
    byId("fold").addEventListener("click", () => {
      this.open(null);
      this.fold(this.settings.bar);
    });
  }

  #fullScreen() {
    const button = byId("full-screen");
    button.hidden = !document.fullscreenEnabled;
    byId("locks").hidden = !navigator.keyboard?.lock || window.parent !== window;
    button.addEventListener("click", async () => {
      if (document.fullscreenElement) {
        await document.exitFullscreen();
      } else {
        await document.documentElement.requestFullscreen().catch(() => {});
      }
      this.keys.focus();
    });
    document.addEventListener("fullscreenchange", () => {
      const full = document.fullscreenElement !== null;
      button.setAttribute("aria-pressed", full);
      if (full) {
        navigator.keyboard?.lock?.().catch(() => {}); // Not inside another page: its shortcuts stay the browser's.
      } else {
        navigator.keyboard?.unlock?.();
      }
    });
  }

  #extraKeys() {
    for (const button of document.querySelectorAll("[data-press]")) {
      const names = button.dataset.press.split(" ");
      button.addEventListener("click", () => {
        names.forEach((name) => this.keys.extra(name, true));
        names.reverse().forEach((name) => this.keys.extra(name, false));
        names.reverse();
      });
    }
    const held = [...document.querySelectorAll("[data-hold]")];
    for (const button of held) {
      button.addEventListener("click", () => {
        const down = button.getAttribute("aria-pressed") !== "true";
        button.setAttribute("aria-pressed", down);
        this.keys.extra(button.dataset.hold, down);
      });
    }
    this.connection.addEventListener("lost", () => {
      held.forEach((button) => button.setAttribute("aria-pressed", false));
    });
    const touch = window.matchMedia("(any-pointer: coarse)");
    const onScreen = byId("on-screen");
    onScreen.hidden = !touch.matches;
    onScreen.addEventListener("click", () => {
      const wanted = onScreen.getAttribute("aria-pressed") !== "true";
      onScreen.setAttribute("aria-pressed", wanted);
      this.keys.setOnScreen(wanted);
    });
    if (touch.matches) {
      this.keys.setOnScreen(false);
    }
  }

  #clipboardPanel() {
    const copied = byId("copied");
    const show = () => {
      for (const part of document.querySelectorAll("[data-reads]")) {
        part.hidden = !part.dataset.reads.split(" ").includes(this.clipboard.reads);
      }
    };
    this.clipboard.addEventListener("change", show);
    show();
    byId("allow").addEventListener("click", () => this.clipboard.allow());
    byId("copy").addEventListener("click", async () => {
      copied.textContent = (await this.clipboard.copy()) ? copied.dataset.done : copied.dataset.not;
    });
    this.clipboard.panel.addEventListener("input", () => {
      copied.textContent = "";
    });
  }

  #picturePanel() {
    for (const name of ["size", "quality"]) {
      for (const choice of document.querySelectorAll(`[name=${name}]`)) {
        choice.checked = choice.value === this.settings[name];
        choice.addEventListener("change", () => this.#set(name, choice.value));
      }
    }
    const watch = byId("watch");
    watch.checked = this.settings.watch;
    watch.addEventListener("change", () => this.#set("watch", watch.checked));
  }

  #set(name, value) {
    this.settings[name] = value;
    save(this.settings);
    if (name === "size") {
      this.screen.setSize(value);
    } else if (name === "quality") {
      this.picture.choose(value);
    } else {
      this.connection.setWatch(value);
    }
  }

  #stopping() {
    const dialog = byId("stop-dialog");
    byId("stop").addEventListener("click", () => {
      this.open(null);
      byId("stop-failed").hidden = true;
      dialog.showModal();
    });
    byId("stop-no").addEventListener("click", () => dialog.close());
    byId("stop-yes").addEventListener("click", async () => {
      if (await this.#stop()) {
        dialog.close();
        this.connection.retry(); // It finds that there is none any more.
      } else {
        byId("stop-failed").hidden = false;
      }
    });
  }

  async #stop() {
    try {
      return (await ask(this.connection.api, { method: "POST", body: JSON.stringify({ action: "stop" }) })).ok;
    } catch {
      return false;
    }
  }
}
