/* How the GPU is used, why, and what comes of it: in the status bar, and on the screen when something is to be done.

Guarantee: on a server that tells nothing of it, or not yet, nothing is shown, and JupyterLab stays as it is. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from "@jupyterlab/application";
import { IDocumentManager } from "@jupyterlab/docmanager";
import { IStatusBar } from "@jupyterlab/statusbar";
import { ITranslator } from "@jupyterlab/translation";

import { chooseLanguage } from "../languages.js";
import { Acts } from "./acts.js";
import { changedDocuments, saveAll } from "./documents.js";
import { Item } from "./item.js";
import { Orders } from "./orders.js";
import { Page } from "./page.js";
import { openPanel } from "./panel.js";
import { Poller } from "./polling.js";
import { IdleServer, Missing } from "./server.js";
import { Telling } from "./telling.js";
import { tellInPage } from "./toasts.js";
import { Warnings } from "./warnings.js";

export const idle: JupyterFrontEndPlugin<void> = {
  id: "mlabhub-lab:idle",
  description: "Shows how the GPU is used, warns before it is taken away, and saves what is open.",
  autoStart: true,
  requires: [IDocumentManager, ITranslator],
  optional: [IStatusBar],
  activate(app: JupyterFrontEnd, documents: IDocumentManager, translator: ITranslator, bar: IStatusBar | null) {
    const page = new Page(chooseLanguage(translator.languageCode, document.cookie, navigator.languages));
    const server = new IdleServer(app.serviceManager.serverSettings);
    const save = (): Promise<string[]> => saveAll(app.shell, documents);
    const ends = (): boolean => page.status?.verdict === "warned" || page.status?.verdict === "stop";
    const pressing = (): boolean => ends() || changedDocuments(app.shell, documents).length > 0;
    const poller = new Poller(() => ask(page, server), pressing);
    const tell = tellInPage(page.say("title"), page.say("close"));
    const acts = new Acts(page, server, poller, save, tell);
    const telling = new Telling();
    const open = (): void => void openPanel(page, acts, telling);
    new Warnings(page, server, acts, telling, open);
    new Orders(page, server, save, tell);
    bar?.registerStatusItem("mlabhub-lab:idle", {
      item: new Item(page, open),
      align: "left",
      rank: 50,
      priority: 1, // also in a narrow window, or where letters are large
      isActive: () => page.status !== null,
      activeStateChanged: page.changed,
    });
    void app.restored.then(() => poller.start());
  },
};

async function ask(page: Page, server: IdleServer): Promise<void> {
  try {
    page.take(await server.status());
  } catch (error) {
    if (error instanceof Missing) page.take(null);
    else page.repeat();
    throw error;
  }
}
