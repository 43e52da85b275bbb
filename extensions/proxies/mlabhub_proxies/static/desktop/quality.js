// How sharp the picture is, and how much it is compressed. "automatic" goes by the line: by how much longer an answer
// takes than the quickest one of this connection. That is time spent in queues, whatever the distance is.

export const STEPS = [
  { quality: 1, compression: 9 },
  { quality: 3, compression: 7 },
  { quality: 6, compression: 4 },
  { quality: 9, compression: 2 },
];
export const CHOICES = { slow: 0, balanced: 2, sharp: 3 };

const QUEUED = 250; // ms in queues: too much is sent
const FREE = 80; // ms: there is room
const FREE_IN_A_ROW = 4;
const MOST_IN_A_ROW = 128;

export class Automatic {
  constructor(step = CHOICES.balanced) {
    this.step = step;
    this.quickest = Infinity;
    this.queued = 0;
    this.free = 0;
    this.wanted = FREE_IN_A_ROW; // answers without a queue before the picture gets sharper
  }

  // Take the time of one answer in milliseconds; return the step to use from now on.
  take(took) {
    this.quickest = Math.min(this.quickest, took);
    const queue = took - this.quickest;
    this.queued = queue > QUEUED ? this.queued + 1 : 0;
    this.free = queue < FREE ? this.free + 1 : 0;
    if (this.queued >= 2 && this.step > 0) {
      this.step -= 1;
      this.queued = 0;
      this.wanted = Math.min(MOST_IN_A_ROW, this.wanted * 2); // what was too much once is tried again later and later
    } else if (this.free >= this.wanted && this.step < STEPS.length - 1) {
      this.step += 1;
      this.free = 0;
    }
    return this.step;
  }
}
