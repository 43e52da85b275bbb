/* Puts our `WebSocket` and `fetch` where JupyterLab takes them from, before the first notebook is opened. Where the
server has no other half of them, JupyterLab stays as it is. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from "@jupyterlab/application";

import { getFacts } from "../facts.js";
import { findLine } from "./line.js";
import { lastingFetch, lastingWebSocket } from "./sockets.js";

interface UseModule {
  reportUse(address: string): { now(): Promise<void> };
}

export const lasting: JupyterFrontEndPlugin<void> = {
  id: "mlabhub-lab:lasting",
  description: "Lets kernels, terminals and saving outlast a cut line.",
  autoStart: true,
  async activate(app: JupyterFrontEnd) {
    const facts = getFacts();
    if (facts === null) return;
    const settings = app.serviceManager.serverSettings;
    const place = (path: string): string => new URL(path, settings.baseUrl).href;
    const line = await findLine(settings.baseUrl);
    // Looking for changes, as this page does by itself, is nothing that a person did: the page tells what is.
    (import(/* webpackIgnore: true */ place("mlabhub/static/use.js")) as Promise<UseModule>)
      .then(({ reportUse }) => reportUse(place("mlabhub/api/touched/lab")).now())
      .catch(() => {});
    // JupyterLab documents both as the page's own to choose, but its types forbid to set them.
    const [WebSocket, fetch] = [lastingWebSocket(line, facts.numbersKernels), lastingFetch(line)];
    Object.assign(settings, { WebSocket, fetch });
  },
};
