import { plainName } from "./names";
import { Store } from "./store";

/** The API key of this tab. It goes to sessionStorage only when the person says so, and never to localStorage. */
const KEY_NAME = "attest.key";
export const apiKey = new Store<string>(readKey());
/** True while the server refuses requests for want of a key that it knows. */
export const keyWanted = new Store<boolean>(false);

function readKey(): string {
  try {
    return sessionStorage.getItem(KEY_NAME) ?? "";
  } catch {
    return "";
  }
}

export function keyIsKept(): boolean {
  return readKey() !== "";
}

export function setKey(key: string, keep: boolean): void {
  try {
    if (keep && key) sessionStorage.setItem(KEY_NAME, key);
    else sessionStorage.removeItem(KEY_NAME);
  } catch {
    // storage is forbidden: the key lives as long as the page
  }
  keyWanted.set(false);
  apiKey.set(key);
}

export function authorization(): Record<string, string> {
  return apiKey.value ? { Authorization: `Bearer ${apiKey.value}` } : {};
}

/** What the server says went wrong, with its remedy, or that it could not be reached (`status` 0). */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    detail: string,
    readonly requestId = "",
    readonly retryAfterS = 0,
  ) {
    super(detail);
  }
}

export async function problemOf(response: Response): Promise<Problem> {
  let body: Record<string, unknown> = {};
  try {
    body = (await response.json()) as Record<string, unknown>;
  } catch {
    // a proxy's own page: the status has to do
  }
  if (response.status === 401) keyWanted.set(true);
  return new Problem(
    response.status,
    typeof body.code === "string" ? body.code : "http_error",
    typeof body.detail === "string" ? body.detail : `${response.status} ${response.statusText}`,
    typeof body.request_id === "string" ? body.request_id : "",
    Number(response.headers.get("retry-after") ?? 0) || 0,
  );
}

/** Sends a request; a failed one is a Problem. JSON bodies are objects, anything else goes out as it is. */
export async function request(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<Response> {
  const headers: Record<string, string> = { ...authorization() };
  const init: RequestInit = { method, headers, signal, credentials: "same-origin", redirect: "error" };
  if (body instanceof FormData) init.body = body;
  else if (body !== undefined) {
    headers["Content-Type"] = "application/json";
    init.body = JSON.stringify(body);
  }
  let response: Response;
  try {
    response = await fetch(path, init);
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem(0, "unreachable", "");
  }
  if (!response.ok) throw await problemOf(response);
  return response;
}

export async function call<T>(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  return parse(await (await request(method, path, body, signal)).text()) as T;
}

/** JSON in which every title and file name is safe to show. */
function parse(text: string): unknown {
  return JSON.parse(text, (key, value: unknown) =>
    (key === "title" || key === "filename") && typeof value === "string" ? plainName(value) : value,
  );
}

/** A document's extracted text; a byte order mark counts as a character, as it does for the server. */
export async function textOf(id: string, version: number, signal?: AbortSignal): Promise<string> {
  const response = await request("GET", `/v1/documents/${encodeURIComponent(id)}/text?version=${version}`, undefined, signal);
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(await response.arrayBuffer());
}

export function contentPath(id: string, version: number): string {
  return `/v1/documents/${encodeURIComponent(id)}/content?version=${version}`;
}

export interface ServerEvent {
  name: string;
  data: unknown;
}

/** The named events of a server-sent stream, until it ends or the signal stops it. */
export async function* events(
  method: string,
  path: string,
  body?: unknown,
  signal?: AbortSignal,
): AsyncGenerator<ServerEvent> {
  const response = await request(method, path, body, signal);
  if (response.body === null) return;
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let pending = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      pending += done ? decoder.decode() : decoder.decode(value, { stream: true });
      const blocks = pending.replaceAll("\r\n", "\n").split("\n\n");
      pending = done ? "" : (blocks.pop() ?? "");
      for (const block of blocks) {
        const event = parseEvent(block);
        if (event !== null) yield event;
      }
      if (done) return;
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

function parseEvent(block: string): ServerEvent | null {
  let name = "message";
  const data: string[] = [];
  for (const line of block.split("\n")) {
    if (line.startsWith("event:")) name = line.slice(6).trim();
    else if (line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""));
  }
  if (data.length === 0) return null;
  return { name, data: parse(data.join("\n")) };
}
