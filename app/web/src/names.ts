// Control characters, and those that turn the reading direction: with them a name could show another ending than its own.
const DECEIVING = /[\p{Cc}\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069]/gu;

/** A file's or document's name as it may be shown. */
export function plainName(name: string): string {
  return name.replace(DECEIVING, "\ufffd") || "\u2013";
}
