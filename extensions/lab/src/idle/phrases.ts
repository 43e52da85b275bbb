/* A status in words that fit into the status bar, and into the panel.

Guarantees: pure; what is not known is said to be not known, never as a number; a status that is old says so. */

import type { Gpu, Quota, Status } from "./status.js";
import type { Say } from "./words.js";

/** The agent hears from the service once a minute; what is so old was missed twice. */
export const STALE = 180;

/** Cards are named after these: a card of 80 GB has 80 times 2^30 bytes. */
const GIGABYTE = 2 ** 30;

/** Say a length of time, rounded down, as the service does. */
export function span(seconds: number, say: Say): string {
  const whole = Math.max(Math.floor(seconds), 0);
  if (whole < 60) return say("seconds", { n: whole });
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return say("minutes", { n: minutes });
  if (minutes >= 48 * 60) return say("days", { n: Math.floor(minutes / 1440) });
  const [n, m] = [Math.floor(minutes / 60), minutes % 60];
  return m ? say("hoursAnd", { n, m }) : say("hours", { n });
}

/** Return how old what is shown is, `since` seconds after the answer came; null where the server does not know. */
function ageOf(status: Status, since: number): number | null {
  return status.age === null ? null : status.age + since;
}

export function isStale(status: Status, since: number): boolean {
  const age = ageOf(status, since);
  return age === null || age > STALE;
}

const rounded = (value: number): string => String(Math.round(value));
const short = (value: number): string => String(Math.round(value * 10) / 10);
const gigabytes = (bytes: number): string => rounded(bytes / GIGABYTE);

function gpuUse(gpu: Gpu, say: Say): string {
  const { count, percent } = gpu;
  if (percent === null) return count === 1 ? say("gpuUnmeasured") : say("gpusUnmeasured", { count });
  return say(count === 1 ? "gpuUse" : "gpusUse", { count, percent: rounded(percent) });
}

function gpuMemory(gpu: Gpu, say: Say): string {
  if (gpu.memoryUsed === null) return "";
  const used = gigabytes(gpu.memoryUsed);
  if (gpu.memoryTotal === null) return say("memoryUsed", { used });
  return say("memory", { used, total: gigabytes(gpu.memoryTotal) });
}

/** Return how much is used: of GPUs where there are any, else of processors. */
export function usage(status: Status, say: Say): string[] {
  if (status.gpu !== null) return [gpuUse(status.gpu, say), gpuMemory(status.gpu, say)].filter(Boolean);
  return [status.cpuCores === null ? say("coresUnmeasured") : say("cores", { cores: short(status.cpuCores) })];
}

function verdict(status: Status, since: number, say: Say): string {
  const left = (seconds: number): string => span(seconds - since, say);
  switch (status.verdict) {
    case "active":
      return say("active");
    case "idle":
      return status.dueIn === null ? say("idle") : say("idleIn", { span: left(status.dueIn) });
    case "warned":
      return status.deadlineIn === null ? say("warned") : say("stopsIn", { span: left(status.deadlineIn) });
    case "stop":
      return say("stopping");
    case "unknown":
      return say("unknown");
  }
}

function quotaShort(quota: Quota, say: Say): string {
  const values = { group: quota.group, used: short(quota.used) };
  return quota.guaranteed === null
    ? say("quotaUsed", values)
    : say("quota", { ...values, guaranteed: short(quota.guaranteed) });
}

/** Return the quota in a sentence. */
export function quotaLong(quota: Quota, say: Say): string {
  const gpus = quota.used === 1 ? say("oneGpu") : say("someGpus", { n: short(quota.used) });
  const values = { group: quota.group, gpus };
  if (quota.guaranteed === null) return say("quotaHolds", values);
  const guaranteed = short(quota.guaranteed);
  return quota.limit === null
    ? say("quotaLong", { ...values, guaranteed })
    : say("quotaLimit", { ...values, guaranteed, limit: short(quota.limit) });
}

/** Return what the status bar says, `since` seconds after the answer came. */
export function item(status: Status, since: number, say: Say): string {
  if (isStale(status, since)) {
    const age = ageOf(status, since);
    return age === null ? say("nothingYet") : say("stale", { span: span(age, say) });
  }
  const parts = [...usage(status, say), verdict(status, since, say)];
  if (status.quota !== null) parts.push(quotaShort(status.quota, say));
  return parts.join(" · ");
}

/** Return what is said about how often a server may still be kept. */
export function keepsLeft(left: number, say: Say): string {
  if (left <= 0) return say("keepNone");
  return left === 1 ? say("keepOnce") : say("keepLeft", { n: left });
}

/** JupyterLab cuts a notification's text there, at so many letters. */
export const LONGEST_NOTICE = 140;

/** Return a warning's text for a notification: the title, and the rest where all of it fits. */
export function notice(title: string, body: string): string {
  const whole = `${title}\n${body}`.trim();
  return whole.length <= LONGEST_NOTICE ? whole : title;
}

/** Name files in a sentence of a notification: their names, as many as `most` letters hold, and how many more. */
export function named(paths: readonly string[], say: Say, most = 50): string {
  const names = paths.map((path) => path.split("/").at(-1) ?? path);
  const fit: string[] = [];
  for (const name of names) {
    if (fit.length && [...fit, name].join(", ").length > most) break;
    fit.push(name);
  }
  const shown = fit.join(", ");
  const cut = shown.length > most ? `${shown.slice(0, most - 1)}…` : shown;
  return fit.length === names.length ? cut : say("andMore", { paths: cut, n: names.length - fit.length });
}
