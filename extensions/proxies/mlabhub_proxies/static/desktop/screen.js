// The picture's place on the page, who decides how large the desktop is, and the last picture while the line is cut.
//
// Several browsers may show one desktop. The one that was used last decides its size; the others scale the picture.
// Whoever did not ask for a change never answers it with one, so two browsers cannot fight.

const SMALLEST = 200; // px: a window that is hidden or folded away says nothing about the size of a desktop
const QUIET = 250; // ms after a window's last change
const SETTLED = 1000; // ms after the desktop's last change: whoever asked for it has got it
const SHOWN = 300; // ms after a connection stands: its picture is drawn

export class Screen {
  constructor({ stage, place, still }) {
    this.stage = stage;
    this.place = place;
    this.still = still;
    this.rfb = null;
    this.canvas = null;
    this.size = "window";
    this.decides = !document.hidden;
    this.fit();
    new ResizeObserver(() => this.#later()).observe(stage);
    this.drawn = new MutationObserver(() => this.#resized());
    window.addEventListener("focus", () => this.takeOver());
    stage.addEventListener("pointerdown", () => this.takeOver(), { capture: true });
  }

  // Show another connection's picture.
  use(rfb) {
    this.rfb = rfb;
    this.canvas = this.place.querySelector(":scope > div canvas");
    rfb.scaleViewport = true;
    rfb.background = "transparent";
    this.apply();
    this.drawn.disconnect();
    this.drawn.observe(this.canvas, { attributes: true, attributeFilter: ["width", "height"] });
  }

  setSize(size) {
    this.size = size;
    this.takeOver();
  }

  // Someone works in this window: from now on it decides the desktop's size.
  takeOver() {
    if (!document.hidden) {
      this.decides = true;
      this.apply();
    }
  }

  apply() {
    const resizes = this.decides && this.size === "window";
    if (this.rfb && this.rfb.resizeSession !== resizes) {
      this.rfb.resizeSession = resizes;
    }
  }

  // Whole pixels: the desktop has no half ones, and would be asked for them again and again.
  fit() {
    const { clientWidth: width, clientHeight: height } = this.stage;
    if (width >= SMALLEST && height >= SMALLEST) {
      this.place.style.width = `${width}px`;
      this.place.style.height = `${height}px`;
    }
  }

  // Keep what is on the screen as a still picture, above whatever comes next.
  freeze() {
    if (this.canvas?.width && this.canvas.height) {
      this.still.width = this.canvas.width;
      this.still.height = this.canvas.height;
      this.still.getContext("2d").drawImage(this.canvas, 0, 0);
      this.still.hidden = false;
    }
    this.rfb = null;
  }

  thaw() {
    window.setTimeout(() => {
      this.still.hidden = true;
    }, SHOWN);
  }

  #later() {
    window.clearTimeout(this.quiet);
    this.quiet = window.setTimeout(() => this.fit(), QUIET);
  }

  // The desktop has another size. If it stays another than ours, someone else has decided.
  #resized() {
    window.clearTimeout(this.settled);
    this.settled = window.setTimeout(() => {
      const { width, height } = this.canvas;
      if (width !== this.place.clientWidth || height !== this.place.clientHeight) {
        this.decides = false;
        this.apply();
      }
    }, SETTLED);
  }
}
