import { SHIPPED, type Version } from "./promotions";

// A collection's calibrations and the ratings that they learn from, as the server tells them.

export interface Bin {
  low: number;
  high: number;
  count: number;
  confidence: number;
  right: number;
  right_low: number;
  right_high: number;
}

/** What confidences are worth: the shipped calibration's, or one side of a held-out comparison. */
export interface Worth {
  questions: number;
  wrong: number;
  calibration_error: number;
  reliability: Bin[];
  risk_coverage: { coverage: number; risk: number }[];
  given: { coverage: number; risk: number | null };
}

export interface Ratings {
  rated: number;
  right: number;
  wrong: number;
  unrated: number;
  outdated: number;
  needed: { rated: number; right: number; wrong: number };
  enough: boolean;
  figures: Worth | null;
}

export interface Calibration extends Version {
  outdated: boolean;
  figures: {
    held_out?: { questions: number; log_loss: { base: number; trained: number }; before?: Worth; after?: Worth };
  };
}

/** The one of its own that serves the collection; none where the shipped one does. */
export function servingOf(versions: Calibration[]): Calibration | undefined {
  return versions.find((one) => one.id !== SHIPPED && one.active && !one.outdated);
}

/** What to draw: a name and its figures, the confidence before a fit first. */
export function sidesOf(version: Calibration | undefined, ratings: Ratings | null): { side: "shipped" | "before" | "after"; worth: Worth }[] {
  if (version === undefined) return ratings?.figures ? [{ side: "shipped", worth: ratings.figures }] : [];
  const { before, after } = version.figures.held_out ?? {};
  return before && after ? [{ side: "before", worth: before }, { side: "after", worth: after }] : [];
}

/** Mean confidence of the answers. */
export function promised(worth: Worth): number {
  return worth.reliability.reduce((sum, bin) => sum + bin.count * bin.confidence, 0) / Math.max(1, worth.questions);
}
