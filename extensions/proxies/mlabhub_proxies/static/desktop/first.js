// Says that the desktop's first picture is still to come, for as long as all of the screen has one colour: the line
// stands before Plasma has drawn anything, on a busy machine many seconds before.

const EVERY = 500; // ms between looks

export class FirstPicture {
  constructor({ box, connection, screen }) {
    Object.assign(this, { box, connection, screen });
    this.timer = window.setInterval(() => this.#look(), EVERY);
  }

  #look() {
    if (this.connection.state !== "connected") {
      this.box.hidden = true;
      return;
    }
    this.box.hidden = !this.#isBlank();
    if (this.box.hidden) {
      window.clearInterval(this.timer);
    }
  }

  #isBlank() {
    const { canvas } = this.screen;
    const picture = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    const colours = new Uint32Array(picture.data.buffer);
    return colours.every((colour) => colour === colours[0]);
  }
}
