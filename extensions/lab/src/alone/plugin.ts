/* Says what the bar over the tools says, where JupyterLab is opened without it: that a server is in safe mode, and what
the line to it is like. `lasting` keeps JupyterLab from noticing a cut line, so somebody has to tell of it. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from "@jupyterlab/application";
import { Notification } from "@jupyterlab/apputils";
import { IStatusBar } from "@jupyterlab/statusbar";
import { ITranslator } from "@jupyterlab/translation";
import { Widget } from "@lumino/widgets";

import { getFacts } from "../facts.js";
import { chooseLanguage } from "../languages.js";
import { findLine } from "../lasting/line.js";
import { LineNotice } from "./notice.js";
import { speak, type Say } from "./words.js";

export const alone: JupyterFrontEndPlugin<void> = {
  id: "mlabhub-lab:alone",
  description: "Says that a server is in safe mode, or cannot be reached, where no bar over the tools does.",
  autoStart: true,
  requires: [ITranslator],
  optional: [IStatusBar],
  async activate(app: JupyterFrontEnd, translator: ITranslator, bar: IStatusBar | null) {
    const facts = getFacts();
    if (facts === null || hasBar()) return;
    const tag = chooseLanguage(translator.languageCode, document.cookie, navigator.languages);
    const say = speak(tag);
    if (facts.safe) {
      const place = { align: "left", rank: 0, priority: 1 } as const; // also in a narrow window
      bar?.registerStatusItem("mlabhub-lab:safe", { item: new SafeItem(say), ...place });
      void app.restored.then(() => Notification.info(say("safeTold"), { autoClose: false }));
    }
    const base = app.serviceManager.serverSettings.baseUrl;
    const places = { again: new URL("mlabhub/again", base).href, home: facts.home };
    const attach = (notice: Widget): void => app.shell.add(notice, "header");
    new LineNotice(await findLine(base), say, tag.replace("_", "-"), places, attach);
  },
};

/** Return whether the page is in a frame of the bar's, which has the line (`mlabhub_proxies/static/workbench.js`). */
function hasBar(): boolean {
  try {
    return window.parent !== window && "mlabhubLine" in window.parent;
  } catch {
    return false; // another site's page is around this one
  }
}

class SafeItem extends Widget {
  constructor(say: Say) {
    super();
    this.addClass("mlabhub-safe-item");
    this.node.textContent = say("safe");
    this.node.title = say("safeTold");
  }
}
