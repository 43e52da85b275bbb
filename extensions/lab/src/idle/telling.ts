/* The browser's own notifications, where a person has switched them on here. */

const KEY = "mlabhub-lab:tell";

export class Telling {
  /** Whether this browser has such notifications at all. */
  static readonly exists = "Notification" in window;

  get denied(): boolean {
    return Telling.exists && Notification.permission === "denied";
  }

  get on(): boolean {
    return Telling.exists && Notification.permission === "granted" && localStorage.getItem(KEY) === "on";
  }

  /** Switch on or off; the browser asks its person only here, after a click. */
  async turn(on: boolean): Promise<void> {
    localStorage.setItem(KEY, on ? "on" : "off");
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
