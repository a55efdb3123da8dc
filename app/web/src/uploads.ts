import { authorization, call, contentPath, events, Problem, request } from "./api";
import { newId } from "./conversations";
import { plainName } from "./names";
import { Store } from "./store";
import type { DocumentInfo, Job, Submitted } from "./wire";

export interface Upload {
  id: string;
  name: string;
  bytes: number;
  collection: string;
  state: "waiting" | "sending" | "working" | "ready" | "duplicate" | "failed" | "cancelled";
  stage: string;
  done: number;
  total: number;
  documentId: string | null;
  jobId: string | null;
  error: string;
}

const AT_ONCE = 2;
export const uploads = new Store<Upload[]>([]);
/** Grows whenever a document may have changed on the server, so that lists read again. */
export const changed = new Store<number>(0);

const files = new Map<string, File>();
const controllers = new Map<string, AbortController>();
let active = 0;

function put(id: string, part: Partial<Upload>): void {
  uploads.update((all) => all.map((one) => (one.id === id ? { ...one, ...part } : one)));
}

export function ended(upload: Upload): boolean {
  return ["ready", "duplicate", "failed", "cancelled"].includes(upload.state);
}

/** Sends each file as a job of its own, two at a time. */
export function add(chosen: Iterable<File>, collection: string): void {
  const fresh: Upload[] = [];
  for (const file of chosen) {
    const id = newId();
    files.set(id, file);
    fresh.push({
      id, name: plainName(file.name), bytes: file.size, collection, state: "waiting", stage: "", done: 0, total: 0,
      documentId: null, jobId: null, error: "",
    });
  }
  uploads.update((all) => [...fresh, ...all]);
  pump();
}

export function again(id: string): void {
  put(id, { state: "waiting", stage: "", done: 0, total: 0, error: "", jobId: null });
  pump();
}

export function clearEnded(): void {
  for (const one of uploads.value) if (ended(one)) files.delete(one.id);
  uploads.update((all) => all.filter((one) => !ended(one)));
}

export function cancel(id: string): void {
  const upload = uploads.value.find((one) => one.id === id);
  if (upload === undefined || ended(upload)) return;
  controllers.get(id)?.abort();
  if (upload.jobId !== null) void call("DELETE", `/v1/jobs/${encodeURIComponent(upload.jobId)}`).catch(() => undefined);
  put(id, { state: "cancelled" });
}

function pump(): void {
  while (active < AT_ONCE) {
    const next = uploads.value.findLast((one) => one.state === "waiting");
    if (next === undefined) return;
    const file = files.get(next.id);
    if (file === undefined) {
      put(next.id, { state: "failed" });
      continue;
    }
    active += 1;
    put(next.id, { state: "sending" });
    void work(next, file).finally(() => {
      active -= 1;
      pump();
    });
  }
}

async function work(upload: Upload, file: File): Promise<void> {
  const controller = new AbortController();
  controllers.set(upload.id, controller);
  try {
    const form = new FormData();
    form.append("collection", upload.collection);
    form.append("file", file, file.name);
    const submitted = await send(form, controller.signal, (done, total) => put(upload.id, { done, total }));
    await settle(upload.id, submitted, controller.signal);
  } catch (error) {
    if (!controller.signal.aborted) put(upload.id, { state: "failed", error: said(error) });
  } finally {
    controllers.delete(upload.id);
    changed.update((count) => count + 1);
  }
}

async function settle(id: string, submitted: Submitted, signal: AbortSignal): Promise<void> {
  const [document] = submitted.documents;
  put(id, { documentId: document?.id ?? null, jobId: submitted.job.id, done: 0, total: 0 });
  changed.update((count) => count + 1);
  if (document?.error) return put(id, { state: "failed", error: document.error });
  if (document?.duplicate) return put(id, { state: "duplicate" });
  put(id, { state: "working", stage: "queued" });
  for await (const { data } of events("GET", `/v1/jobs/${encodeURIComponent(submitted.job.id)}/events`, undefined, signal)) {
    const job = data as Job;
    if (job.progress === undefined) throw new Problem(500, "job", String((data as { detail?: string }).detail ?? ""));
    put(id, { stage: job.stage ?? job.status, done: job.progress.done, total: job.progress.total });
    if (job.status === "queued" || job.status === "running") continue;
    const own = job.documents.find((one) => one.id === document?.id);
    const error = own?.error ?? job.error ?? "";
    if (job.status === "succeeded" && own?.status !== "failed") put(id, { state: "ready" });
    else if (job.status === "cancelled") put(id, { state: "cancelled" });
    else put(id, { state: "failed", error });
    return;
  }
}

/** POST with progress: fetch can not tell how much of a body has gone out. */
function send(form: FormData, signal: AbortSignal, onProgress: (done: number, total: number) => void): Promise<Submitted> {
  return new Promise((resolve, reject) => {
    const sending = new XMLHttpRequest();
    sending.open("POST", "/v1/documents");
    for (const [name, value] of Object.entries(authorization())) sending.setRequestHeader(name, value);
    sending.upload.onprogress = (event) => event.lengthComputable && onProgress(event.loaded, event.total);
    sending.onerror = () => reject(new Problem(0, "unreachable", ""));
    sending.onabort = () => reject(new Problem(0, "aborted", ""));
    sending.onload = () => {
      let body: Record<string, unknown> = {};
      try {
        body = JSON.parse(sending.responseText) as Record<string, unknown>;
      } catch {
        // a proxy's own page: the status has to do
      }
      if (sending.status < 300) resolve(body as unknown as Submitted);
      else reject(new Problem(sending.status, String(body.code ?? ""), String(body.detail ?? sending.statusText)));
    };
    signal.addEventListener("abort", () => sending.abort());
    sending.send(form);
  });
}

/** Tries a failed document of the server's again: its own bytes, sent as a new version. */
export async function tryAgain(document: DocumentInfo): Promise<void> {
  const bytes = await (await request("GET", contentPath(document.id, document.version))).blob();
  const name = document.filename || document.title || "document";
  const form = new FormData();
  if (document.filename && document.title) form.append("title", document.title);
  if (document.source_url) form.append("source_url", document.source_url);
  if (Object.keys(document.metadata).length > 0) form.append("metadata", JSON.stringify(document.metadata));
  form.append("file", new File([bytes], name, { type: document.media_type }), name);
  const submitted = (await (await request("PUT", `/v1/documents/${encodeURIComponent(document.id)}`, form)).json()) as Submitted;
  const id = newId();
  const upload: Upload = {
    id, name, bytes: document.bytes, collection: document.collection, state: "working", stage: "queued", done: 0, total: 0,
    documentId: document.id, jobId: submitted.job.id, error: "",
  };
  uploads.update((all) => [upload, ...all]);
  const controller = new AbortController();
  controllers.set(id, controller);
  try {
    await settle(id, submitted, controller.signal);
  } catch (error) {
    if (!controller.signal.aborted) put(id, { state: "failed", error: said(error) });
  } finally {
    controllers.delete(id);
    changed.update((count) => count + 1);
  }
}

function said(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
