import { chinese } from "./chinese";
import { english, type MessageKey } from "./english";
import { Store, useStore } from "./store";

export type { MessageKey } from "./english";
export type LanguageChoice = "auto" | "en" | "zh";
export type Language = "en" | "zh";
export type Translate = (key: MessageKey, values?: Record<string, string | number>) => string;

export const languageChoice = new Store<LanguageChoice>("auto", "attest.language");

function languageOf(choice: LanguageChoice): Language {
  if (choice === "en" || choice === "zh") return choice;
  const first = navigator.languages.find((tag) => /^(en|zh)\b/i.test(tag)) ?? "en";
  return first.toLowerCase().startsWith("zh") ? "zh" : "en";
}

function message(language: Language, key: MessageKey, values: Record<string, string | number> = {}): string {
  const pattern = language === "zh" ? chinese[key] : english[key];
  return pattern.replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
}

export interface Words {
  t: Translate;
  language: Language;
  bytes: (count: number) => string;
  number: (value: number, digits?: number) => string;
  when: (time: string) => string;
}

/** The messages, numbers and times of the chosen language. */
export function useWords(): Words {
  return wordsOf(languageOf(useStore(languageChoice)));
}

const made = new Map<Language, Words>();

/** The same object for the same language, so that effects which depend on it do not run with every draw. */
function wordsOf(language: Language): Words {
  const known = made.get(language) ?? makeWords(language);
  made.set(language, known);
  return known;
}

function makeWords(language: Language): Words {
  const locale = language === "zh" ? "zh-CN" : "en";
  const number = (value: number, digits = 0): string =>
    value.toLocaleString(locale, { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return {
    language,
    t: (key, values) => message(language, key, values),
    number,
    bytes: (count) => {
      const units = ["B", "kB", "MB", "GB"];
      let value = count;
      let unit = 0;
      while (value >= 1000 && unit < units.length - 1) {
        value /= 1000;
        unit += 1;
      }
      return `${number(value, unit > 0 && value < 10 ? 1 : 0)} ${units[unit]}`;
    },
    when: (time) => {
      const date = new Date(time);
      if (Number.isNaN(date.getTime())) return "";
      const sameDay = date.toDateString() === new Date().toDateString();
      return sameDay
        ? date.toLocaleTimeString(locale, { hour: "2-digit", minute: "2-digit" })
        : date.toLocaleDateString(locale, { year: "numeric", month: "short", day: "numeric" });
    },
  };
}
