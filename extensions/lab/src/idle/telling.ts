/* The browser's own notifications, where a person has switched them on here.

Guarantee: where the browser keeps nothing for this site, they are on for as long as the page is open. */

const KEY = "mlabhub-lab:tell";

export class Telling {
  /** Whether this browser has such notifications at all. */
  static readonly exists = "Notification" in window;

  #wantedHere = false;

  get denied(): boolean {
    return Telling.exists && Notification.permission === "denied";
  }

  get on(): boolean {
    return Telling.exists && Notification.permission === "granted" && this.#wanted;
  }

  get #wanted(): boolean {
    try {
      return localStorage.getItem(KEY) === "on";
    } catch {
      return this.#wantedHere;
    }
  }

  /** Switch on or off; the browser asks its person only here, after a click. */
  async turn(on: boolean): Promise<void> {
    this.#wantedHere = on;
    try {
      localStorage.setItem(KEY, on ? "on" : "off");
    } catch {
      // storage is closed
    }
    if (on && Notification.permission === "default") await Notification.requestPermission();
  }

  /** Tell something, once in all tabs of this browser; return what takes it back. */
  tell(title: string, body: string, name: string): () => void {
    if (!this.on) return () => {};
    try {
      const told = new Notification(title, { body, tag: name, requireInteraction: true });
      told.onclick = () => {
        window.focus();
        told.close();
      };
      return () => told.close();
    } catch {
      return () => {}; // Chrome on Android has them for service workers only
    }
  }
}
