/* What the server says about itself in the configuration of JupyterLab's page (`mlabhub_proxies.lab`).

Guarantee: null where the server is none of ours. */

import { PageConfig } from "@jupyterlab/coreutils";

export interface Facts {
  /** None of its person's start-up files was read. */
  readonly safe: boolean;
  /** The address of the hub's Home page. */
  readonly home: string | null;
  /** It numbers the messages of kernels (`mlabhub_proxies.kernels`). */
  readonly numbersKernels: boolean;
}

export function getFacts(): Facts | null {
  const said = PageConfig.getOption("mlabhub");
  if (!said) return null;
  const { safe, home, numbers_kernels } = JSON.parse(said) as Record<string, unknown>;
  return {
    safe: safe === true,
    home: typeof home === "string" ? home : null,
    numbersKernels: numbers_kernels === true,
  };
}
