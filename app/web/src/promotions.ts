import { useState } from "preact/hooks";
import { call, events } from "./api";
import { useWords, type Words } from "./text";
import type { Job } from "./wire";

// What ratings taught about a collection: versions, one of which serves, and the way back.

export const SHIPPED = "shipped";
export type Noun = "calibration" | "reranker";

export interface Version {
  id: string;
  collection: string | null;
  number: number;
  status: "active" | "superseded" | "rolled_back" | "rejected" | "shipped";
  active: boolean;
  promoted: boolean;
  reason: string;
  created_at: string | null;
}

export function nameOf(noun: Noun, version: Version, t: Words["t"]): string {
  return version.id === SHIPPED ? t(`${noun}.shipped`) : t(`${noun}.number`, { n: version.number });
}

export interface Doings {
  busy: boolean;
  /** What came of the last one, for a status line. */
  said: string;
  error: unknown;
  /** The training at work. */
  job: Job | null;
  train: () => void;
  rollBack: () => void;
  activate: (id: string) => void;
}

/** Training, rolling back and activating for one collection, one at a time; `after` hears whether it went well. */
export function useDoings(noun: Noun, collection: string, after: (well: boolean) => void): Doings {
  const { t } = useWords();
  const [busy, setBusy] = useState(false);
  const [said, say] = useState("");
  const [error, setError] = useState<unknown>(null);
  const [job, setJob] = useState<Job | null>(null);
  const path = `/v1/${noun}s`;

  const act = async (work: () => Promise<string>): Promise<void> => {
    setBusy(true);
    setError(null);
    say("");
    let well = false;
    try {
      say(await work());
      well = true;
    } catch (problem) {
      say("");
      setError(problem);
    } finally {
      setJob(null);
      setBusy(false);
      after(well);
    }
  };
  const train = async (): Promise<string> => {
    const started = await call<{ id: string }>("POST", `${path}/train`, { collection });
    say(t(`${noun}.training`));
    let ended: Job | null = null;
    for await (const { name, data } of events("GET", `/v1/jobs/${encodeURIComponent(started.id)}/events`)) {
      if (name === "progress") setJob(data as Job);
      if (name === "done") ended = data as Job;
    }
    if (ended?.status !== "succeeded") throw new Error(ended?.error ?? t("ask.interrupted"));
    return t(ended.result?.promoted === true ? `${noun}.promoted` : `${noun}.notPromoted`);
  };
  const rollBack = async (): Promise<string> => {
    const done = await call<{ active: Version }>("POST", `${path}/rollback`, { collection });
    return t(`${noun}.nowServes`, { name: nameOf(noun, done.active, t) });
  };
  const activate = async (id: string): Promise<string> => {
    const done = await call<Version>("POST", `${path}/${encodeURIComponent(id)}/activate`);
    return t(`${noun}.nowServes`, { name: nameOf(noun, done, t) });
  };
  return {
    busy,
    said,
    error,
    job,
    train: () => void act(train),
    rollBack: () => void act(rollBack),
    activate: (id) => void act(() => activate(id)),
  };
}
