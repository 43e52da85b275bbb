/* Talks with the server about idleness, under its own address and login. */

import { ServerConnection } from "@jupyterlab/services";

import { readStatus, type Status } from "./status.js";

/** The server has no such address: it has no agent, or an older one. */
export class Missing extends Error {}

/** The server says no, in a sentence; empty where it said nothing that a person can read. */
export class Refused extends Error {}

export class IdleServer {
  /** By which the agent knows whether all pages that are open have saved. */
  readonly #page = String(Math.random()).slice(2);

  constructor(private readonly settings: ServerConnection.ISettings) {}

  /** Return what is known; null: nothing yet. Throws `Missing`, `Refused` or a network's error. */
  async status(): Promise<Status | null> {
    return readStatus(await this.#request(`?page=${this.#page}`));
  }

  /** Keep the server; return what is known then. */
  async keep(seconds: number, reason: string): Promise<Status | null> {
    return readStatus(await this.#request("/keep", { seconds, reason }));
  }

  release(): Promise<unknown> {
    return this.#request("/release", {});
  }

  seen(warning: number): Promise<unknown> {
    return this.#request("/seen", { warning });
  }

  savedDocuments(): Promise<unknown> {
    return this.#request("/saved-documents", { page: this.#page });
  }

  async #request(path: string, body?: object): Promise<unknown> {
    const address = new URL(`mlabhub/api/idle${path}`, this.settings.baseUrl).href;
    const init = body === undefined ? { method: "GET" } : { method: "POST", body: JSON.stringify(body) };
    const answer = await ServerConnection.makeRequest(address, init, this.settings);
    if (answer.status === 404) throw new Missing();
    const said: unknown = await answer.json().catch(() => null);
    if (!answer.ok) throw new Refused(sentence(said));
    return said;
  }
}

function sentence(said: unknown): string {
  const { error } = (said ?? {}) as { error?: { message?: unknown } };
  return typeof error?.message === "string" ? error.message : "";
}
