// Reads an evaluation leniently: the contract fixes the metrics' names, not every field around them.

export interface Interval {
  value: number;
  low: number | null;
  high: number | null;
}

export interface Measured {
  name: string;
  quality: Record<string, Interval>;
  latency: Record<string, number>;
  risk: { coverage: number; risk: number }[];
  difference: Record<string, Interval>;
}

type Fields = Record<string, unknown>;

function fieldsOf(value: unknown): Fields {
  return value !== null && typeof value === "object" && !Array.isArray(value) ? (value as Fields) : {};
}

function intervalOf(value: unknown): Interval | null {
  if (typeof value === "number") return { value, low: null, high: null };
  const fields = fieldsOf(value);
  const middle = [fields.mean, fields.value, fields.difference].find((one) => typeof one === "number");
  if (typeof middle !== "number") return null;
  const pair = [fields.ci, fields.interval, fields.confidence_interval].find((one) => Array.isArray(one)) as unknown[] | undefined;
  const low = fields.low ?? pair?.[0];
  const high = fields.high ?? pair?.[1];
  return { value: middle, low: typeof low === "number" ? low : null, high: typeof high === "number" ? high : null };
}

const BESIDE = new Set(["latency_ms", "difference", "differences", "setting", "settings", "name", "questions", "n", "count"]);

function qualityOf(fields: Fields): Record<string, Interval> {
  const found: Record<string, Interval> = {};
  for (const [name, value] of Object.entries(fields)) {
    if (BESIDE.has(name)) continue;
    const interval = intervalOf(value);
    if (interval !== null) found[name] = interval;
    else if (name === "abstention") {
      const auroc = intervalOf(fieldsOf(value).auroc);
      if (auroc !== null) found["abstention auroc"] = auroc;
    }
  }
  return found;
}

function riskOf(value: unknown): Measured["risk"] {
  if (!Array.isArray(value)) return [];
  return value.flatMap((point: unknown) => {
    const [coverage, risk] = Array.isArray(point) ? point : [fieldsOf(point).coverage, fieldsOf(point).risk];
    return typeof coverage === "number" && typeof risk === "number" ? [{ coverage, risk }] : [];
  });
}

function intervalsOf(value: unknown): Record<string, Interval> {
  const found: Record<string, Interval> = {};
  for (const [name, one] of Object.entries(fieldsOf(value))) {
    const interval = intervalOf(one);
    if (interval !== null) found[name] = interval;
  }
  return found;
}

/** One entry for each setting measured; `names` are what the person called them. */
export function measuredOf(body: unknown, names: string[]): Measured[] {
  const fields = fieldsOf(body);
  const result = fieldsOf(fields.result);
  const rows = [fields.settings, fields.results, result.settings, result.results, fields.data].find((rows) => Array.isArray(rows));
  return ((rows as unknown[] | undefined) ?? []).map((row, place) => {
    const entry = fieldsOf(row);
    const metrics = { ...entry, ...fieldsOf(entry.metrics) };
    const latency = Object.entries(fieldsOf(metrics.latency_ms)).filter(([, ms]) => typeof ms === "number");
    return {
      name: typeof entry.name === "string" ? entry.name : (names[place] ?? ""),
      quality: qualityOf(metrics),
      latency: Object.fromEntries(latency) as Record<string, number>,
      risk: riskOf(fieldsOf(metrics.abstention).risk_coverage),
      difference: intervalsOf(entry.difference ?? entry.differences),
    };
  });
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
