import { useCallback, useEffect, useState } from "preact/hooks";
import { apiKey, Problem } from "./api";
import { useStore } from "./store";

const RETRY_MS = 2_000;

export interface Loaded<T> {
  /** What was loaded last; null until the first time. */
  value: T | null;
  error: unknown;
  reload: () => void;
}

/**
 * What `load` gives: loaded again when `on` or the key changes, on `reload`, and a while after a failure, since the
 * server may still be starting. What does not exist is asked for once.
 */
export function useLoaded<T>(load: (signal: AbortSignal) => Promise<T>, on: unknown[]): Loaded<T> {
  const [value, setValue] = useState<T | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [tick, setTick] = useState(0);
  const key = useStore(apiKey);
  const reload = useCallback(() => setTick((count) => count + 1), []);
  useEffect(() => {
    const controller = new AbortController();
    let timer = 0;
    load(controller.signal)
      .then((found) => {
        setValue(found);
        setError(null);
      })
      .catch((problem: unknown) => {
        if (controller.signal.aborted) return;
        setError(problem);
        if (!(problem instanceof Problem && problem.status === 404)) timer = window.setTimeout(reload, RETRY_MS);
      });
    return () => {
      controller.abort();
      clearTimeout(timer);
    };
  }, [...on, tick, key]);
  return { value, error, reload };
}
