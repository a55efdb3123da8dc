import { SHIPPED, type Version } from "./promotions";

// A collection's rerankers and the ratings that they learn from, as the server tells them.

export interface Passages {
  ratings: number;
  questions: number;
  to_train: number;
  to_measure: number;
  unhelpful: number;
  gone: number;
  needed: { questions: number; to_train: number; to_measure: number };
  enough: boolean;
}

interface HeldOut {
  questions: number;
  "ndcg@10": { base: number; trained: number };
  difference: { mean: number; low: number; high: number; confidence: number };
}

export interface Reranker extends Version {
  figures: { held_out?: HeldOut; training?: { ratings: number } };
}

export interface Rerankers {
  data: Reranker[];
  enabled: boolean;
  obstacle: string | null;
}

/** What a reranker was worth on the questions put aside; the ends are where the change alone would take `before`. */
export interface Gain {
  version: Reranker;
  questions: number;
  before: number;
  after: number;
  mean: number;
  low: number;
  high: number;
}

/** Newest first; the shipped one has been compared with nothing here. */
export function gainsOf(versions: Reranker[]): Gain[] {
  return versions.flatMap((version) => {
    const held = version.figures.held_out;
    if (held === undefined) return [];
    const { mean, low, high } = held.difference;
    return [{ version, questions: held.questions, before: held["ndcg@10"].base, after: held["ndcg@10"].trained, mean, low, high }];
  });
}

/** Whether the newest training knew every rating that there is. */
export function nothingNew(versions: Reranker[], passages: Passages): boolean {
  const newest = versions.find((one) => one.id !== SHIPPED)?.figures.training;
  return newest !== undefined && passages.ratings <= newest.ratings;
}

/** The tenths around all these gains, and between 0 and 1. */
export function axisOf(gains: Gain[]): { low: number; high: number } {
  const ends = gains.flatMap((one) => [one.before, one.after, one.before + one.low, one.before + one.high]);
  const low = Math.max(0, Math.floor(Math.min(...ends) * 10) / 10);
  const high = Math.min(1, Math.ceil(Math.max(...ends) * 10) / 10);
  return high > low ? { low, high } : { low: Math.max(0, high - 0.1), high: Math.max(0.1, high) };
}
