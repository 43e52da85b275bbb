// What the page says of the line: a heading, a sentence and what can be done, for each state of the connection. The
// words are the template's: `<template id="say-STATE">`.

const SECOND = 1000;

export class Notice {
  constructor({ box, live, stage, connection, keys }) {
    Object.assign(this, { box, live, stage, connection });
    this.said = null;
    connection.addEventListener("state", () => this.show());
    keys.addEventListener("unsent", () => {
      if (connection.state !== "connected") {
        this.live.textContent = this.live.dataset.unsent; // Else somebody only watches, and knows it.
      }
    });
    window.setInterval(() => this.#count(), SECOND);
    this.show();
  }

  show() {
    const { state } = this.connection;
    this.stage.dataset.state = state;
    if (state === this.said) {
      return;
    }
    this.said = state;
    const words = document.getElementById(`say-${state}`).content.cloneNode(true);
    this.live.textContent = words.querySelector("h2").textContent;
    words.querySelector("[data-again]")?.addEventListener("click", () => this.connection.retry());
    this.box.replaceChildren(words);
    this.box.hidden = state === "connected";
    this.#count();
  }

  #count() {
    const seconds = Math.round((Date.now() - this.connection.since) / SECOND);
    const counter = this.box.querySelector("[data-counts]");
    if (counter) {
      counter.textContent = counter.dataset.counts.replace("{seconds}", seconds);
    }
  }
}
