// What the server says, as far as the page reads it. Offsets are Unicode code points, half-open.

export interface Citation {
  index: number;
  document_id: string;
  version: number;
  title: string;
  source_url: string | null;
  page: number | null;
  char_start: number;
  char_end: number;
  quote: string;
  answer_start: number;
  answer_end: number;
  score: number;
  chunk_id?: string;
}

export interface Passage {
  number: number;
  chunk_id: string;
  document_id: string;
  version: number;
  title: string;
  page: number | null;
  char_start: number;
  char_end: number;
  text: string;
  scores: Record<string, number>;
}

export interface Stage {
  stage: string;
  ms: number;
  detail: Record<string, unknown>;
  error: string | null;
}

export interface Answer {
  id: string;
  question: string;
  answer: string;
  short_answer?: string;
  abstained: boolean;
  confidence: number;
  threshold?: number;
  citations: Citation[];
  model: string;
  collection_generation: Record<string, number>;
  usage: { prompt_tokens: number; completion_tokens: number };
  timings_ms: Record<string, number>;
  warnings?: string[];
  route?: RouteTaken;
  trace?: { request_id: string; stages: Stage[] };
}

export interface RouteTaken {
  route: string | null;
  score: number;
  how: string;
}

export interface Hit {
  rank: number;
  chunk_id: string;
  document_id: string;
  version: number;
  title: string;
  page: number | null;
  text: string;
  scores: Record<string, number | null>;
  ranks: Record<string, number>;
}

export type DocumentStatus = "queued" | "loading" | "chunking" | "embedding" | "indexing" | "ready" | "failed" | "deleted";

export interface DocumentInfo {
  id: string;
  collection: string;
  title: string;
  version: number;
  status: DocumentStatus;
  media_type: string;
  bytes: number;
  pages: number | null;
  chars: number;
  chunks: number;
  metadata: Record<string, unknown>;
  source_url: string | null;
  filename?: string | null;
  created_at: string;
  updated_at: string;
  error: string | null;
}

export interface Job {
  id: string;
  kind: string;
  status: "queued" | "running" | "succeeded" | "failed" | "cancelled";
  progress: { done: number; total: number; unit: string };
  stage: string | null;
  attempts: number;
  error: string | null;
  result?: Record<string, unknown> | null;
  documents: { id: string; version: number; status: string; error?: string | null }[];
}

export interface Submitted {
  job: { id: string; status: string };
  documents: { id: string | null; version: number; status: string; duplicate: boolean; error?: string | null }[];
}

export interface Deleted {
  id: string;
  deleted: boolean;
  residual: Record<string, number>;
}

export interface Collection {
  name: string;
  description: string;
  created_at: string;
  generation: number;
  documents: number;
  chunks: number;
  bytes: number;
  by_status?: Record<string, number>;
}

export interface Message {
  role: "user" | "assistant";
  content: string;
}

export interface AskBody {
  question: string;
  collections?: string[];
  route?: string;
  history?: Message[];
  filters?: Record<string, unknown>;
  as_of?: string;
  translate: "auto" | string[];
  retrieval: { dense: boolean; lexical: boolean; top_k?: number; rrf_k?: number };
  rerank: boolean;
  context_chunks?: number;
  generation?: { mode?: string; style?: string };
  abstain: "auto" | "never" | number;
  stream?: boolean;
  trace?: boolean;
}
