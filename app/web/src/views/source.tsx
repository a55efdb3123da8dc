import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { apiKey, call, contentPath, request, textOf } from "../api";
import { safeUrl } from "../markdown";
import { utf16Index } from "../offsets";
import { Store, useStore } from "../store";
import { useWords } from "../text";
import { ErrorNote, Icon, IconButton } from "../ui";
import type { Citation, DocumentInfo } from "../wire";
import { PdfPages } from "./source-pdf";
import { RenderedText } from "./source-text";

/** What the source panel shows: a document's version, with the place in it where there is one. */
export interface Opened {
  document_id: string;
  version: number;
  title: string;
  page: number | null;
  char_start: number | null;
  char_end: number | null;
  quote: string;
  index: number | null;
  others: Citation[];
}

/** A quote with its surroundings; offsets are UTF-16 indices into `text`. */
export interface Place {
  text: string;
  start: number;
  end: number;
  quote: string;
  before: string;
  after: string;
}

const AROUND_CHARS = 200;
export const opened = new Store<Opened | null>(null);
let cameFrom: HTMLElement | null = null;

export function openSource(citation: Citation, others: Citation[]): void {
  open({ ...citation, others });
}

export function openDocument(document: DocumentInfo): void {
  open({
    document_id: document.id,
    version: document.version,
    title: document.title,
    page: null,
    char_start: null,
    char_end: null,
    quote: "",
    index: null,
    others: [],
  });
}

/** Opens the place that a link from elsewhere names: `?version=2&page=3&start=120&end=180`. */
export function openLink(id: string, query: string): void {
  const asked = new URLSearchParams(query);
  const number = (name: string): number | null => {
    const value = Number(asked.get(name) ?? "x");
    return Number.isSafeInteger(value) && value >= 0 ? value : null;
  };
  const start = number("start");
  const end = number("end");
  const whole = start === null || end === null || end <= start;
  open({
    document_id: id,
    version: number("version") || 1,
    title: "",
    page: number("page") || null,
    char_start: whole ? null : start,
    char_end: whole ? null : end,
    quote: "",
    index: null,
    others: [],
  });
}

function open(next: Opened): void {
  if (opened.value === null) cameFrom = document.activeElement as HTMLElement | null;
  opened.set(next);
}

function close(): void {
  opened.set(null);
  (cameFrom?.isConnected ? cameFrom : document.getElementById("main"))?.focus();
  cameFrom = null;
}

function placeOf(text: string, source: Opened): Place | null {
  if (source.char_start === null || source.char_end === null) return null;
  const start = utf16Index(text, source.char_start);
  const end = start + utf16Index(text.slice(start), source.char_end - source.char_start);
  return {
    text,
    start,
    end,
    quote: text.slice(start, end),
    before: text.slice(Math.max(0, start - AROUND_CHARS), start),
    after: text.slice(end, end + AROUND_CHARS),
  };
}

export function SourcePanel(): JSX.Element | null {
  const { t, bytes } = useWords();
  const source = useStore(opened) as Opened;
  const key = useStore(apiKey);
  const [info, setInfo] = useState<DocumentInfo | null>(null);
  const [text, setText] = useState<string | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [view, setView] = useState<"pages" | "text">("pages");
  const heading = useRef<HTMLHeadingElement>(null);
  const { document_id: id, version } = source;

  useEffect(() => {
    const controller = new AbortController();
    setInfo(null);
    setText(null);
    setError(null);
    Promise.all([
      call<DocumentInfo>("GET", `/v1/documents/${encodeURIComponent(id)}?version=${version}`, undefined, controller.signal),
      textOf(id, version, controller.signal),
    ])
      .then(([found, read]) => {
        setInfo(found);
        setText(read);
      })
      .catch((problem: unknown) => controller.signal.aborted || setError(problem));
    return () => controller.abort();
  }, [id, version, key]);
  useEffect(() => heading.current?.focus({ preventScroll: true }), [id, version, source.index]);
  useEffect(() => {
    const leave = (event: KeyboardEvent): void => {
      if (event.key === "Escape" && document.querySelector("dialog[open]") === null) close();
    };
    addEventListener("keydown", leave);
    return () => removeEventListener("keydown", leave);
  }, []);

  const place = text === null ? null : placeOf(text, source);
  const isPdf = info?.media_type === "application/pdf";
  const position = source.others.findIndex((one) => one.index === source.index);
  const step = (by: number): void => {
    const next = source.others[position + by];
    if (next !== undefined) openSource(next, source.others);
  };
  const web = safeUrl(info?.source_url);
  return (
    <aside class="source" aria-label={t("source.title")}>
      <header class="source-head">
        <div class="source-name">
          {source.index !== null ? <span class="source-number">{source.index}</span> : null}
          <h2 ref={heading} tabIndex={-1} title={source.title || info?.title}>
            {source.title || info?.title}
          </h2>
        </div>
        <div class="row nowrap">
          {source.others.length > 1 ? (
            <>
              <IconButton icon="left" label={t("source.previous")} disabled={position <= 0} onClick={() => step(-1)} />
              <IconButton
                icon="right"
                label={t("source.next")}
                disabled={position < 0 || position >= source.others.length - 1}
                onClick={() => step(1)}
              />
            </>
          ) : null}
          <IconButton icon="close" label={t("app.close")} onClick={close} />
        </div>
        <div class="source-facts small faint">
          {source.page !== null ? <span>{t("ask.page", { page: source.page })}</span> : null}
          <span>{t("source.version", { version })}</span>
          {info ? <span>{bytes(info.bytes)}</span> : null}
          {info ? <Download info={info} version={version} /> : null}
          {web ? (
            <a href={web} target="_blank" rel="noopener noreferrer nofollow">
              {t("source.web")}
            </a>
          ) : null}
        </div>
        {isPdf ? (
          <div class="tabs" role="group" aria-label={t("source.view")}>
            {(["pages", "text"] as const).map((name) => (
              <button key={name} type="button" aria-pressed={view === name} onClick={() => setView(name)}>
                {t(`source.${name}`)}
              </button>
            ))}
          </div>
        ) : null}
      </header>
      {place !== null || source.quote !== "" ? (
        <blockquote class="source-quote" aria-label={t("source.quote")}>
          {place?.quote ?? source.quote}
        </blockquote>
      ) : null}
      {error ? <ErrorNote error={error} /> : null}
      {info === null || text === null ? (
        error ? null : (
          <p class="source-wait faint" role="status">
            {t("app.loading")}
          </p>
        )
      ) : isPdf && view === "pages" ? (
        <PdfPages id={id} version={version} page={source.page} place={place} />
      ) : (
        <RenderedText text={text} place={place} markdown={info.media_type === "text/markdown"} />
      )}
    </aside>
  );
}

/** The original file: fetched with the key, then handed over; it never opens as a page of this origin. */
function Download({ info, version }: { info: DocumentInfo; version: number }): JSX.Element {
  const { t } = useWords();
  const [busy, setBusy] = useState(false);
  const save = async (): Promise<void> => {
    setBusy(true);
    try {
      const blob = await (await request("GET", contentPath(info.id, version))).blob();
      const url = URL.createObjectURL(new Blob([blob], { type: "application/octet-stream" }));
      const link = document.createElement("a");
      link.href = url;
      link.download = (info.filename || info.title || "document").replace(/[\\/:*?"<>|\p{Cc}]/gu, "_");
      link.click();
      setTimeout(() => URL.revokeObjectURL(url), 10_000);
    } finally {
      setBusy(false);
    }
  };
  return (
    <button type="button" class="link" disabled={busy} onClick={() => void save().catch(() => undefined)}>
      <Icon name="download" size={14} /> {t("source.download")}
    </button>
  );
}
