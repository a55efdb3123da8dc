// Evaluations as the server measures them; what a server leaves out is simply not drawn.

import type { Job } from "./wire";

export interface Interval {
  value: number;
  low: number | null;
  high: number | null;
}

export interface Measured {
  name: string;
  request: string;
  quality: Record<string, Interval>;
  latency: Record<string, Interval>;
  risk: { coverage: number; risk: number }[];
  /** From the first setting; the latency's is in milliseconds, all others are shares. */
  difference: Record<string, Interval & { significant: boolean }>;
  failed: number;
  errors: string[];
  missing: Record<string, string>;
}

export interface Evaluation {
  id: string;
  collection: string;
  status: Job["status"];
  questions: number;
  settings: unknown[];
  error: string | null;
  job?: Job;
  created_at: string;
}

export const LATENCY = "latency_ms";
const QUALITY = [
  "recall@1",
  "recall@5",
  "recall@10",
  "recall@20",
  "mrr@10",
  "ndcg@10",
  "exact_match",
  "f1",
  "citation_precision",
] as const;

type Fields = Record<string, unknown>;

function fieldsOf(value: unknown): Fields {
  return value !== null && typeof value === "object" && !Array.isArray(value) ? (value as Fields) : {};
}

function numberOf(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

function bounds(value: unknown): { low: number | null; high: number | null } {
  const fields = fieldsOf(value);
  return { low: numberOf(fields.low), high: numberOf(fields.high) };
}

function textsOf(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((one): one is string => typeof one === "string") : [];
}

function one(row: unknown): Measured {
  const entry = fieldsOf(row);
  const intervals = fieldsOf(entry.intervals);
  const abstention = fieldsOf(entry.abstention);
  const quality: Measured["quality"] = {};
  for (const name of QUALITY) {
    const value = numberOf(entry[name]);
    if (value !== null) quality[name] = { value, ...bounds(intervals[name]) };
  }
  const auroc = numberOf(abstention.auroc);
  if (auroc !== null) quality["abstention auroc"] = { value: auroc, low: null, high: null };
  const latency: Measured["latency"] = {};
  for (const [name, value] of Object.entries(fieldsOf(entry[LATENCY]))) {
    const ms = numberOf(value);
    if (ms !== null) latency[name] = { value: ms, low: null, high: null };
  }
  const difference: Measured["difference"] = {};
  for (const [name, value] of Object.entries(fieldsOf(entry.difference))) {
    const mean = numberOf(fieldsOf(value).mean);
    if (mean !== null) difference[name] = { value: mean, ...bounds(value), significant: fieldsOf(value).significant === true };
  }
  const curve = Array.isArray(abstention.risk_coverage) ? abstention.risk_coverage : [];
  return {
    name: typeof entry.name === "string" ? entry.name : "",
    request: JSON.stringify(fieldsOf(entry.request)),
    quality,
    latency,
    risk: curve.flatMap((point: unknown) => {
      const [coverage, risk] = [numberOf(fieldsOf(point).coverage), numberOf(fieldsOf(point).risk)];
      return coverage !== null && risk !== null ? [{ coverage, risk }] : [];
    }),
    difference,
    failed: numberOf(fieldsOf(entry.counts).failed) ?? 0,
    errors: textsOf(entry.errors),
    missing: Object.fromEntries(
      Object.entries(fieldsOf(entry.not_computed)).filter((pair): pair is [string, string] => typeof pair[1] === "string"),
    ),
  };
}

/** One entry for each setting of the evaluation. */
export function measuredOf(evaluation: Evaluation): Measured[] {
  return evaluation.settings.map(one);
}

export interface Golden {
  questions: Fields[];
  badLine: number;
  reason: string;
}

/** The questions of a JSON Lines text, or the first line that is none. */
export function parseGolden(text: string): Golden {
  const questions: Fields[] = [];
  for (const [place, line] of text.split("\n").entries()) {
    if (line.trim() === "") continue;
    let reason = "";
    try {
      const row = fieldsOf(JSON.parse(line));
      if (typeof row.question === "string" && row.question.trim() !== "") questions.push(row);
      else reason = '"question"';
    } catch (error) {
      reason = (error as Error).message;
    }
    if (reason !== "") return { questions: [], badLine: place + 1, reason };
  }
  return { questions, badLine: 0, reason: "" };
}

/** The settings of a JSON list of objects; null for a text that is none. An empty text is an empty list. */
export function parseSettings(text: string): Fields[] | null {
  if (text.trim() === "") return [];
  try {
    const rows: unknown = JSON.parse(text);
    return Array.isArray(rows) && rows.every((row) => row !== null && typeof row === "object" && !Array.isArray(row))
      ? (rows as Fields[])
      : null;
  } catch {
    return null;
  }
}
