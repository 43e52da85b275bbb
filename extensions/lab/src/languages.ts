/* The languages of our own sentences, English and Chinese, and which of both a page is in. */

export type Language = "en" | "zh_CN";
export type Text = Readonly<Record<Language, string>>;
export type Values = Readonly<Record<string, string | number>>;

/** Say one of some sentences; places are filled with text, which is never read as a template. */
export type Say<Word extends string> = (word: Word, values?: Values) => string;

export function speaker<Word extends string>(texts: Readonly<Record<Word, Text>>, language: Language): Say<Word> {
  return (word, values = {}) =>
    texts[word][language].replace(/\{(\w+)\}/g, (place, name: string) => String(values[name] ?? place));
}

/** Return the language we have that answers a tag such as `zh-Hans-CN`, or null. */
export function matchLanguage(wish: string): Language | null {
  const primary = wish.trim().replaceAll("_", "-").toLowerCase().split("-")[0];
  return primary === "en" ? "en" : primary === "zh" ? "zh_CN" : null;
}

/**
 * Return the language of the page: JupyterLab's own where a person set another than English, which it has unless
 * something was set; else, as for the pages of this server, the cookie's, else the browser's, else English.
 */
export function chooseLanguage(lab: string, cookies: string, browser: readonly string[]): Language {
  const set = matchLanguage(lab);
  if (set !== null && set !== "en") return set;
  const kept = [...cookies.matchAll(/(?:^|; )mlabhub-language=([^;]*)/g)].at(-1)?.[1] ?? "";
  for (const wish of [kept, ...browser]) {
    const found = matchLanguage(wish);
    if (found !== null) return found;
  }
  return "en";
}
