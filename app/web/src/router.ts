import { Store, useStore } from "./store";

export const VIEWS = ["ask", "documents", "collections", "trace", "evaluations"] as const;
export type View = (typeof VIEWS)[number];
export interface Route {
  view: View;
  id: string;
  /** What follows a `?` in the address. */
  query: string;
}

function read(): Route {
  const [path = "", query = ""] = location.hash.replace(/^#\/?/, "").split("?", 2);
  const [name = "", id = ""] = path.split("/");
  const view = VIEWS.find((known) => known === name) ?? "ask";
  try {
    return { view, id: decodeURIComponent(id), query };
  } catch {
    return { view, id: "", query: "" };
  }
}

const route = new Store<Route>(read());
addEventListener("hashchange", () => route.set(read()));

export function useRoute(): Route {
  return useStore(route);
}

export function href(view: View, id = ""): string {
  return id ? `#/${view}/${encodeURIComponent(id)}` : `#/${view}`;
}

export function go(view: View, id = ""): void {
  location.hash = href(view, id);
}
