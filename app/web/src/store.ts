import { useEffect, useState } from "preact/hooks";

/** A value that views follow. With a key it outlives the tab in localStorage; a broken stored value counts as absent. */
export class Store<T> {
  private readonly followers = new Set<() => void>();
  private current: T;

  constructor(
    initial: T,
    private readonly key?: string,
    private readonly shrink?: (value: T) => T | null,
  ) {
    this.current = initial;
    if (key === undefined) return;
    try {
      const stored = JSON.parse(localStorage.getItem(key) ?? "null") as T | null;
      if (stored !== null && typeof stored === typeof initial && Array.isArray(stored) === Array.isArray(initial)) {
        this.current = Array.isArray(initial) || typeof initial !== "object" ? stored : { ...initial, ...stored };
      }
    } catch {
      // not JSON, or storage is forbidden: start from the initial value
    }
  }

  get value(): T {
    return this.current;
  }

  set(value: T): void {
    this.current = value;
    this.save();
    for (const follower of [...this.followers]) follower();
  }

  update(change: (value: T) => T): void {
    this.set(change(this.current));
  }

  follow(follower: () => void): () => void {
    this.followers.add(follower);
    return () => this.followers.delete(follower);
  }

  /** Writes the value; where the browser's quota is full, a smaller one that `shrink` makes, until one fits. */
  private save(): void {
    if (this.key === undefined) return;
    let kept: T | null = this.current;
    for (let tries = 0; kept !== null && tries < 50; tries += 1) {
      try {
        localStorage.setItem(this.key, JSON.stringify(kept));
        return;
      } catch {
        kept = this.shrink ? this.shrink(kept) : null;
      }
    }
  }
}

export function useStore<T>(store: Store<T>): T {
  const [, redraw] = useState(0);
  useEffect(() => store.follow(() => redraw((count) => count + 1)), [store]);
  return store.value;
}
