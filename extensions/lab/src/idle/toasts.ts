/* What came of something, on the screen.

Guarantee: a text that JupyterLab would cut in a notification, and that tells of a failure, is whole in a dialog. */

import { Dialog, Notification, showErrorMessage } from "@jupyterlab/apputils";

import { LONGEST_NOTICE } from "./phrases.js";

export interface Tell {
  /** Something went well: for a moment. */
  well(text: string): void;

  /** Something happened: until it is closed. */
  news(text: string): void;

  /** Something went wrong: until it is closed. */
  wrong(text: string): void;
}

/** Tell in JupyterLab's page; `title` and `close` are the words of a dialog. */
export function tellInPage(title: string, close: string): Tell {
  return {
    well: (text) => void Notification.success(text, { autoClose: 5_000 }),
    news: (text) => void Notification.info(text, { autoClose: false }),
    wrong(text) {
      if (text.length <= LONGEST_NOTICE) Notification.error(text, { autoClose: false });
      else void showErrorMessage(title, text, [Dialog.cancelButton({ label: close })]);
    },
  };
}
