// What is said, in the language of VS Code; {0} and {1} are filled in.
const vscode = require("vscode");

const LANGUAGE = vscode.env.language.toLowerCase().startsWith("zh") ? "zh_CN" : "en";

const WORDS = {
  en: {
    name: "Use of this server",
    gpu: "GPU {0} %",
    cpu: "CPU {0} cores",
    unknown: "use not known",
    idleIn: "idle in {0}",
    idle: "idle",
    left: "idle · {0} left",
    over: "idle · it ends now",
    minutes: "{0} min",
    hours: "{0} h {1} min",
    asOf: "As of {0} ago.",
    unsaid: "The hub's service has not said yet how this server stands.",
    quota: "{0} uses {1} GPUs.",
    quotaOf: "{0} uses {1} of {2} GPUs.",
    keep: "Keep for 2 h",
    keepFor: "Keep for {0}",
    timesLeft: "{0} more times",
    release: "Give the GPU back",
    releaseDetail: "What is open is saved first; then the server ends, and goes on without GPUs if it can.",
    page: "Show the last 24 hours and why",
    reason: "Why is it to be kept? Whoever waits for a GPU may read it.",
    kept: "This server is kept for {0}.",
    sure: "Give this server's GPU back? What is open is saved; then the server ends, and what runs in it ends, too.",
    yes: "Give it back",
    releasing: "The GPU is being given back.",
    failed: "This did not work: {0}",
  },
  zh_CN: {
    name: "此服务器的使用情况",
    gpu: "GPU {0} %",
    cpu: "CPU {0} 核",
    unknown: "使用情况未知",
    idleIn: "{0}后视为空闲",
    idle: "空闲",
    left: "空闲 · 剩 {0}",
    over: "空闲 · 即将结束",
    minutes: "{0} 分钟",
    hours: "{0} 小时 {1} 分钟",
    asOf: "{0}前的情况。",
    unsaid: "hub 的服务尚未说明此服务器的情况。",
    quota: "{0} 正在使用 {1} 个 GPU。",
    quotaOf: "{0} 正在使用 {1} 个 GPU，共 {2} 个。",
    keep: "保留 2 小时",
    keepFor: "保留 {0}",
    timesLeft: "还可 {0} 次",
    release: "归还 GPU",
    releaseDetail: "先保存打开的内容，然后服务器结束；如有可能，将不带 GPU 继续运行。",
    page: "查看最近 24 小时及原因",
    reason: "为什么要保留？等待 GPU 的人可能会看到。",
    kept: "此服务器将保留 {0}。",
    sure: "归还此服务器的 GPU？打开的内容会先保存；然后服务器结束，其中运行的程序也会结束。",
    yes: "归还",
    releasing: "正在归还 GPU。",
    failed: "未能完成：{0}",
  },
};

const say = (name, ...values) => WORDS[LANGUAGE][name].replace(/\{(\d)\}/g, (_, place) => values[place]);

// Returns a sentence that came in both languages.
const said = (sentence) => (sentence && (sentence[LANGUAGE] ?? sentence.en)) || "";

function span(seconds) {
  const minutes = Math.max(1, Math.round(seconds / 60));
  return minutes < 60 ? say("minutes", minutes) : say("hours", Math.floor(minutes / 60), minutes % 60);
}

module.exports = { said, say, span };
