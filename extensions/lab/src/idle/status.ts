/* What the server says about itself: `GET mlabhub/api/idle`.

Guarantees: what is missing or of another kind than expected is unknown, which is null and never 0; times are seconds
from the moment the answer came, so that no clock of this machine is compared with another. */

import type { Text } from "../languages.js";

export type Verdict = "active" | "idle" | "unknown" | "warned" | "stop";

export interface Gpu {
  readonly count: number;
  readonly percent: number | null;
  readonly memoryUsed: number | null;
  readonly memoryTotal: number | null;
}

export interface Quota {
  readonly group: string;
  readonly used: number;
  readonly guaranteed: number | null;
  readonly limit: number | null;
}

/** A warning in force. `at` is its name: the service's time of it. */
export interface Warning {
  readonly at: number;
  readonly title: Text;
  readonly body: Text;
}

/** The GPU is being given back: what is open is to be saved. `until` is its name. */
export interface Order {
  readonly until: number;
  readonly reason: Text;
}

export interface Status {
  readonly verdict: Verdict;
  readonly text: Text;
  readonly age: number | null;
  readonly dueIn: number | null;
  readonly deadlineIn: number | null;
  readonly gpu: Gpu | null;
  readonly cpuCores: number | null;
  readonly quota: Quota | null;
  readonly keepLeft: number;
  readonly keepMost: number;
  readonly canRelease: boolean;
  readonly page: string | null;
  readonly warning: Warning | null;
  readonly order: Order | null;
}

type Json = Readonly<Record<string, unknown>>;

const VERDICTS: readonly string[] = ["active", "idle", "unknown", "warned", "stop"] satisfies Verdict[];

const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const object = (value: unknown): Json => (isObject(value) ? value : {});
const number = (value: unknown): number | null => (typeof value === "number" && Number.isFinite(value) ? value : null);

/** A text in both languages; English where the other one is missing. */
function text(value: unknown): Text {
  const { en, zh_CN } = object(value);
  const english = typeof en === "string" ? en : "";
  return { en: english, zh_CN: typeof zh_CN === "string" && zh_CN ? zh_CN : english };
}

function gpuOf(value: unknown): Gpu | null {
  if (!isObject(value)) return null;
  const count = number(value.count);
  if (count === null || count <= 0) return null;
  return {
    count,
    percent: number(value.percent),
    memoryUsed: number(value.memory_used),
    memoryTotal: number(value.memory_total),
  };
}

function quotaOf(value: unknown): Quota | null {
  const { group, used, guaranteed, limit } = object(value);
  const held = number(used);
  if (typeof group !== "string" || held === null) return null;
  return { group, used: held, guaranteed: number(guaranteed), limit: number(limit) };
}

function warningOf(value: unknown): Warning | null {
  const { at, title, body } = object(value);
  const when = number(at);
  return when === null ? null : { at: when, title: text(title), body: text(body) };
}

function orderOf(value: unknown): Order | null {
  const { until, reason } = object(value);
  const end = number(until);
  return end === null ? null : { until: end, reason: text(reason) };
}

/** A page of the hub, of this very site: an address that leads elsewhere is none. */
function pageOf(value: unknown): string | null {
  return typeof value === "string" && /^\/(?![/\\])/.test(value) ? value : null;
}

/** Read an answer; null says that the service has not told the server anything yet. */
export function readStatus(answer: unknown): Status | null {
  const said = object(answer);
  if (typeof said.verdict !== "string" || !VERDICTS.includes(said.verdict)) return null;
  const keep = object(said.keep);
  return {
    verdict: said.verdict as Verdict,
    text: text(said.text),
    age: number(said.age),
    dueIn: number(said.due_in),
    deadlineIn: number(said.deadline_in),
    gpu: gpuOf(said.gpu),
    cpuCores: number(said.cpu_cores),
    quota: quotaOf(said.quota),
    keepLeft: number(keep.left) ?? 0,
    keepMost: number(keep.most_s) ?? 0,
    canRelease: said.can_release === true,
    page: pageOf(said.page),
    warning: warningOf(said.warning),
    order: orderOf(said.order),
  };
}
