/* What is said about a server's use, in English and Chinese. A sentence that follows another one has a blank before it
in English, and none in Chinese. */

import { speaker, type Language, type Say as SayOf, type Text } from "../languages.js";

const TEXTS = {
  title: { en: "This server and its GPU", zh_CN: "这台服务器及其 GPU" },
  gpuUse: { en: "GPU {percent} %", zh_CN: "GPU {percent} %" },
  gpusUse: { en: "{count} GPUs {percent} %", zh_CN: "{count} 块 GPU {percent} %" },
  gpuUnmeasured: { en: "GPU not measured", zh_CN: "GPU 未测量" },
  gpusUnmeasured: { en: "{count} GPUs not measured", zh_CN: "{count} 块 GPU 未测量" },
  memory: { en: "{used} of {total} GB", zh_CN: "{used} / {total} GB" },
  memoryUsed: { en: "{used} GB", zh_CN: "{used} GB" },
  cores: { en: "{cores} cores in use", zh_CN: "使用 {cores} 个 CPU 核" },
  coresUnmeasured: { en: "CPU not measured", zh_CN: "CPU 未测量" },
  active: { en: "at work", zh_CN: "使用中" },
  idle: { en: "idle", zh_CN: "空闲" },
  idleIn: { en: "idle in {span}", zh_CN: "{span}后算作空闲" },
  stopsIn: { en: "stops in {span}", zh_CN: "{span}后停止" },
  warned: { en: "to be stopped", zh_CN: "即将停止" },
  stopping: { en: "being stopped", zh_CN: "正在停止" },
  unknown: { en: "use not known", zh_CN: "使用情况未知" },
  stale: { en: "use not known for {span}", zh_CN: "已有 {span}不知道使用情况" },
  nothingYet: { en: "use not known yet", zh_CN: "尚不知道使用情况" },
  quota: { en: "{group} {used}/{guaranteed}", zh_CN: "{group} {used}/{guaranteed}" },
  quotaUsed: { en: "{group} {used}", zh_CN: "{group} {used}" },
  oneGpu: { en: "1 GPU", zh_CN: "1 块 GPU" },
  someGpus: { en: "{n} GPUs", zh_CN: "{n} 块 GPU" },
  quotaLong: {
    en: "{group} holds {gpus}; {guaranteed} guaranteed to it.",
    zh_CN: "{group} 占用 {gpus}；保证给它 {guaranteed} 块。",
  },
  quotaLimit: {
    en: "{group} holds {gpus}; {guaranteed} guaranteed to it, {limit} at most.",
    zh_CN: "{group} 占用 {gpus}；保证给它 {guaranteed} 块，最多 {limit} 块。",
  },
  quotaHolds: { en: "{group} holds {gpus}.", zh_CN: "{group} 占用 {gpus}。" },
  seconds: { en: "{n} s", zh_CN: "{n} 秒" },
  minutes: { en: "{n} min", zh_CN: "{n} 分钟" },
  hours: { en: "{n} h", zh_CN: "{n} 小时" },
  hoursAnd: { en: "{n} h {m} min", zh_CN: "{n} 小时 {m} 分钟" },
  days: { en: "{n} days", zh_CN: "{n} 天" },
  itemTitle: { en: "{said} Click for more.", zh_CN: "{said}点击查看详情。" },
  reason: { en: "Why is it still needed?", zh_CN: "为什么还需要它？" },
  keep: { en: "Keep for {span}", zh_CN: "保留 {span}" },
  keepLeft: { en: "It can be kept {n} more times.", zh_CN: "还可以保留 {n} 次。" },
  keepOnce: { en: "It can be kept once more.", zh_CN: "还可以保留 1 次。" },
  keepNone: {
    en: "It cannot be kept any more: use it, or save your work.",
    zh_CN: "不能再保留：请使用它，或保存您的工作。",
  },
  release: { en: "Release the GPU now", zh_CN: "立即归还 GPU" },
  releaseShort: { en: "Release", zh_CN: "归还 GPU" },
  releaseAsk: {
    en:
      "All open documents are saved, then this server starts again without a GPU. " +
      "What runs in kernels and terminals ends.",
    zh_CN: "将保存所有打开的文档，然后服务器会在没有 GPU 的情况下重新启动。内核和终端中正在运行的程序会结束。",
  },
  releaseUnsaved: {
    en: "Not saved, so nothing was released: {paths}. Save or close it, then try again.",
    zh_CN: "未能保存，因此没有归还：{paths}。请保存或关闭它，然后重试。",
  },
  andMore: { en: "{paths} and {n} more", zh_CN: "{paths} 及另外 {n} 个文件" },
  open: { en: "Open the page: why, signal by signal", zh_CN: "打开页面：逐项查看依据" },
  notify: { en: "Notify me outside this page, too", zh_CN: "在此页面之外也通知我" },
  notifyDenied: {
    en: "The browser does not allow it: its settings for this site say so.",
    zh_CN: "浏览器不允许：请查看浏览器对此网站的设置。",
  },
  more: { en: "More", zh_CN: "更多" },
  cancel: { en: "Cancel", zh_CN: "取消" },
  close: { en: "Close", zh_CN: "关闭" },
  kept: { en: "Kept.", zh_CN: "已保留。" },
  released: { en: "The GPU is being released.", zh_CN: "正在归还 GPU。" },
  failed: { en: "This did not work: {why}", zh_CN: "操作未成功：{why}" },
  noAnswer: { en: "the server does not answer; try again.", zh_CN: "服务器没有应答，请重试。" },
  ordered: {
    en: "All open documents are saved. This server goes on without a GPU. {reason}",
    zh_CN: "所有打开的文档均已保存。服务器将在没有 GPU 的情况下继续运行。{reason}",
  },
  orderedUnsaved: {
    en: "Not saved: {paths}. This server goes on without a GPU. {reason}",
    zh_CN: "未能保存：{paths}。服务器将在没有 GPU 的情况下继续运行。{reason}",
  },
} as const satisfies Record<string, Text>;

export type Say = SayOf<keyof typeof TEXTS>;

export const speak = (language: Language): Say => speaker(TEXTS, language);
