// How sharp the picture is: what a person has chosen, or what the line allows.

import { Automatic, CHOICES, STEPS } from "./quality.js";

export class Picture {
  constructor({ connection, now, quality }) {
    this.connection = connection;
    this.now = now; // where the page says what is in use
    this.choice = quality;
    this.automatic = new Automatic();
    connection.addEventListener("picture", () => {
      this.automatic = new Automatic(this.automatic.step);
      this.#apply();
    });
    connection.addEventListener("answer", (event) => {
      this.automatic.take(event.detail);
      this.#apply();
      this.#say(event.detail);
    });
  }

  choose(quality) {
    this.choice = quality;
    this.#apply();
  }

  get step() {
    return CHOICES[this.choice] ?? this.automatic.step;
  }

  #apply() {
    const { rfb } = this.connection;
    if (rfb) {
      rfb.qualityLevel = STEPS[this.step].quality;
      rfb.compressionLevel = STEPS[this.step].compression;
    }
  }

  #say(took) {
    const step = this.now.dataset.steps.split("|")[this.step];
    this.now.textContent = this.now.dataset.template.replace("{step}", step).replace("{ms}", Math.round(took));
  }
}
