/* Saves what is open in JupyterLab.

Guarantees: what could not be saved is named; a document that asks its person something instead holds up nothing. */

import type { JupyterFrontEnd } from "@jupyterlab/application";
import type { IDocumentManager } from "@jupyterlab/docmanager";
import type { DocumentRegistry } from "@jupyterlab/docregistry";

const AREAS = ["main", "down", "left", "right"];
const PATIENCE = 20_000;

/** Save every document that has changes; return the paths of those that could not be saved. */
export async function saveAll(shell: JupyterFrontEnd.IShell, documents: IDocumentManager): Promise<string[]> {
  const changed = changedDocuments(shell, documents);
  const saved = await Promise.all(changed.map(save));
  return changed.filter((_, place) => !saved[place]).map((context) => context.localPath);
}

/** Return the documents that have changes. */
export function changedDocuments(
  shell: JupyterFrontEnd.IShell,
  documents: IDocumentManager,
): DocumentRegistry.Context[] {
  const found = new Set<DocumentRegistry.Context>();
  for (const area of AREAS) {
    for (const widget of shell.widgets(area)) {
      const context = documents.contextForWidget(widget);
      if (context?.model.dirty) found.add(context);
    }
  }
  return [...found];
}

async function save(context: DocumentRegistry.Context): Promise<boolean> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<void>((_, reject) => (timer = setTimeout(reject, PATIENCE)));
  try {
    await Promise.race([context.save(), late]);
  } catch {
    return false;
  } finally {
    clearTimeout(timer);
  }
  return !context.model.dirty;
}
