/* What is said where there is no bar over the tools, in English and Chinese, in the words of the bar. */

import { speaker, type Language, type Say as SayOf, type Text } from "../languages.js";

const TEXTS = {
  safe: { en: "Safe mode", zh_CN: "安全模式" },
  safeTold: {
    en:
      "Safe mode: your start-up files are not read. " +
      "Mend what keeps the server from starting, then start it as usual.",
    zh_CN: "安全模式：不会读取您的启动文件。请修复妨碍服务器启动的问题，然后照常启动。",
  },
  cut: {
    en: "No connection since {time}. Everything is kept and goes on by itself.",
    zh_CN: "连接已于 {time} 断开。所有内容都会保留，连接恢复后自动继续。",
  },
  back: { en: "Connected again.", zh_CN: "连接已恢复。" },
  loggedout: { en: "Your login ended. Nothing is lost.", zh_CN: "登录已失效，内容没有丢失。" },
  login: { en: "Log in again", zh_CN: "重新登录" },
  stopped: { en: "This server is not running any more.", zh_CN: "此服务器已不再运行。" },
  home: { en: "Home", zh_CN: "首页" },
} as const satisfies Record<string, Text>;

export type Say = SayOf<keyof typeof TEXTS>;

export const speak = (language: Language): Say => speaker(TEXTS, language);
