import { Store } from "./store";
import type { AskBody, Message } from "./wire";

/** The per-request switches; empty strings stand for the server's own default. */
export interface Options {
  dense: boolean;
  lexical: boolean;
  topK: string;
  rrfK: string;
  rerank: boolean;
  translate: "auto" | "none" | "some";
  kinds: string[];
  contextChunks: string;
  mode: "fusion" | "rag_sequence" | "rag_token";
  style: "" | "auto" | "short" | "sentence" | "paragraph" | "list";
  abstain: "auto" | "never" | "threshold";
  threshold: string;
  filters: string;
  asOf: string;
}

export const KINDS = ["multi_query", "hyde", "decompose", "step_back"] as const;
export const DEFAULTS: Options = {
  dense: true,
  lexical: true,
  topK: "",
  rrfK: "",
  rerank: true,
  translate: "auto",
  kinds: [],
  contextChunks: "",
  mode: "fusion",
  style: "",
  abstain: "auto",
  threshold: "0.5",
  filters: "",
  asOf: "",
};

export const options = new Store<Options>(DEFAULTS, "attest.options");
export const chosenCollections = new Store<string[]>(["default"], "attest.collections");
/** Whether the server's declared routes choose where to ask; the chosen collections wait meanwhile. */
export const routesChoose = new Store<boolean>(false, "attest.routes");

export function changes(current: Options): number {
  return (Object.keys(DEFAULTS) as (keyof Options)[]).filter(
    (name) =>
      !(name === "threshold" && current.abstain !== "threshold") &&
      !(name === "kinds" && current.translate !== "some") &&
      JSON.stringify(current[name]) !== JSON.stringify(DEFAULTS[name]),
  ).length;
}

function whole(text: string): number | undefined {
  const value = Number(text);
  return text.trim() !== "" && Number.isInteger(value) ? value : undefined;
}

/** The filters as an object; undefined when none are set. Throws an Error that says what is wrong. */
export function parseFilters(text: string): Record<string, unknown> | undefined {
  if (text.trim() === "") return undefined;
  const value: unknown = JSON.parse(text);
  if (value === null || typeof value !== "object" || Array.isArray(value)) throw new Error("{ … }");
  return value as Record<string, unknown>;
}

/** The body of `POST /v1/ask`; null for `collections` lets the routes choose. Throws an Error when the filters are no JSON. */
export function askBody(question: string, history: Message[], current: Options, collections: string[] | null): AskBody {
  const body: AskBody = {
    question,
    ...(collections === null ? { route: "auto" } : { collections: collections.length > 0 ? collections : ["default"] }),
    translate: current.translate === "auto" ? "auto" : current.translate === "none" ? [] : current.kinds,
    retrieval: { dense: current.dense, lexical: current.lexical },
    rerank: current.rerank,
    abstain: current.abstain === "threshold" ? Number(current.threshold) : current.abstain,
  };
  if (history.length > 0) body.history = history;
  const topK = whole(current.topK);
  const rrfK = whole(current.rrfK);
  const chunks = whole(current.contextChunks);
  const filters = parseFilters(current.filters);
  if (topK !== undefined) body.retrieval.top_k = topK;
  if (rrfK !== undefined) body.retrieval.rrf_k = rrfK;
  if (chunks !== undefined) body.context_chunks = chunks;
  if (filters !== undefined) body.filters = filters;
  if (current.asOf !== "") body.as_of = new Date(current.asOf).toISOString();
  if (current.mode !== "fusion") body.generation = { mode: current.mode };
  if (current.style !== "") body.generation = { ...body.generation, style: current.style };
  return body;
}
