/* Puts our `WebSocket` and `fetch` where JupyterLab takes them from, before the first notebook is opened. Where the
server has no other half of them, JupyterLab stays as it is. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from "@jupyterlab/application";

import type { Line } from "./line.js";
import { lastingFetch, lastingWebSocket } from "./sockets.js";

interface LineModule {
  getLine(base: string): Line;
}

interface UseModule {
  reportUse(address: string): { now(): Promise<void> };
}

export const lasting: JupyterFrontEndPlugin<void> = {
  id: "mlabhub-lab:lasting",
  description: "Lets kernels, terminals and saving outlast a cut line.",
  autoStart: true,
  async activate(app: JupyterFrontEnd) {
    const settings = app.serviceManager.serverSettings;
    const place = (path: string): string => new URL(path, settings.baseUrl).href;
    const { getLine } = (await import(/* webpackIgnore: true */ place("mlabhub/static/line.js"))) as LineModule;
    // Looking for changes, as this page does by itself, is nothing that a person did: the page tells what is.
    (import(/* webpackIgnore: true */ place("mlabhub/static/use.js")) as Promise<UseModule>)
      .then(({ reportUse }) => reportUse(place("mlabhub/api/touched/lab")).now())
      .catch(() => {});
    const line = getLine(settings.baseUrl);
    // JupyterLab documents both as the page's own to choose, but its types forbid to set them.
    Object.assign(settings, { WebSocket: lastingWebSocket(line), fetch: lastingFetch(line) });
  },
};
