import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { apiKey, call } from "../api";
import { chosenCollections } from "../options";
import { useStore } from "../store";
import { useWords, type MessageKey } from "../text";
import { Dialog, Empty, ErrorNote, Icon, IconButton } from "../ui";
import { changed, tryAgain } from "../uploads";
import type { Deleted, DocumentInfo, DocumentStatus } from "../wire";
import { useCollections } from "./collections";
import { DropCard, UploadList } from "./drop";
import { openDocument } from "./source";

const STATUSES: DocumentStatus[] = ["ready", "failed", "queued", "loading", "chunking", "embedding", "indexing"];
const PAGE = 50;
const POLL_MS = 1_500;

interface Page {
  data: DocumentInfo[];
  next_cursor: string | null;
}

function listPath(collection: string, status: string, cursor: string | null): string {
  const query = new URLSearchParams({ limit: String(PAGE) });
  if (collection) query.set("collection", collection);
  if (status) query.set("status", status);
  if (cursor) query.set("cursor", cursor);
  return `/v1/documents?${query}`;
}

export function isBusy(document: DocumentInfo): boolean {
  return !["ready", "failed", "deleted"].includes(document.status);
}

export function DocumentsView(): JSX.Element {
  const { t } = useWords();
  const { collections } = useCollections();
  const chosen = useStore(chosenCollections);
  const [into, setInto] = useState(chosen[0] ?? "default");
  const [collection, setCollection] = useState("");
  const [status, setStatus] = useState("");
  const names = collections?.map((one) => one.name) ?? [into];
  return (
    <div class="documents">
      <h1>{t("documents.title")}</h1>
      <p class="lead">{t("documents.lead")}</p>
      <DropCard title={t("documents.drop")} lead={t("ask.emptyLead")} collection={into} />
      {names.length > 1 ? (
        <label class="inline-select">
          <span>{t("documents.into")}</span>
          <select value={into} onChange={(event) => setInto(event.currentTarget.value)}>
            {names.map((name) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </label>
      ) : null}
      <UploadList />
      <div class="list-head">
        <h2 class="section-title">{t("documents.list")}</h2>
        <span class="spacer" />
        {names.length > 1 ? (
          <label class="inline-select">
            <span class="hidden">{t("documents.into")}</span>
            <select value={collection} onChange={(event) => setCollection(event.currentTarget.value)}>
              <option value="">{t("documents.all")}</option>
              {names.map((name) => (
                <option key={name}>{name}</option>
              ))}
            </select>
          </label>
        ) : null}
        <label class="inline-select">
          <span class="hidden">{t("documents.status")}</span>
          <select value={status} onChange={(event) => setStatus(event.currentTarget.value)}>
            <option value="">{t("documents.anyStatus")}</option>
            {STATUSES.map((name) => (
              <option key={name} value={name}>
                {t(`status.${name}` as MessageKey)}
              </option>
            ))}
          </select>
        </label>
      </div>
      <DocumentList collection={collection} status={status} />
    </div>
  );
}

function DocumentList({ collection, status }: { collection: string; status: string }): JSX.Element {
  const { t } = useWords();
  const [page, setPage] = useState<Page | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [doomed, setDoomed] = useState<DocumentInfo | null>(null);
  const [gone, setGone] = useState<{ title: string; residual: Record<string, number> } | null>(null);
  const version = useStore(changed);
  const key = useStore(apiKey);
  const [tick, setTick] = useState(0);

  useEffect(() => {
    const controller = new AbortController();
    let timer = 0;
    call<Page>("GET", listPath(collection, status, null), undefined, controller.signal)
      .then((first) => {
        setPage(first);
        setError(null);
        if (first.data.some(isBusy)) timer = window.setTimeout(() => setTick((count) => count + 1), POLL_MS);
      })
      .catch((problem: unknown) => controller.signal.aborted || setError(problem));
    return () => {
      controller.abort();
      clearTimeout(timer);
    };
  }, [collection, status, version, key, tick]);

  const more = (): void => {
    if (page?.next_cursor == null) return;
    call<Page>("GET", listPath(collection, status, page.next_cursor))
      .then((next) => setPage({ data: [...page.data, ...next.data], next_cursor: next.next_cursor }))
      .catch(setError);
  };
  return (
    <>
      {error ? <ErrorNote error={error} onRetry={() => setTick(tick + 1)} /> : null}
      {gone ? <Residual title={gone.title} residual={gone.residual} onClose={() => setGone(null)} /> : null}
      {page === null ? (
        error ? null : (
          <p class="faint">{t("app.loading")}</p>
        )
      ) : page.data.length === 0 ? (
        status ? (
          <p class="faint">{t("documents.noneStatus")}</p>
        ) : (
          <Empty icon="documents" title={t("documents.none")}>
            <p class="faint">{t("documents.noneLead")}</p>
          </Empty>
        )
      ) : (
        <ul class="document-list">
          {page.data.map((document) => (
            <DocumentRow
              key={document.id}
              document={document}
              onDelete={() => setDoomed(document)}
              onRetry={() => {
                tryAgain(document).catch(setError);
              }}
            />
          ))}
        </ul>
      )}
      {page?.next_cursor ? (
        <button type="button" class="button quiet" onClick={more}>
          {t("app.more")}
        </button>
      ) : null}
      {doomed ? (
        <DeleteDialog
          document={doomed}
          onClose={() => setDoomed(null)}
          onDeleted={(residual) => {
            setGone({ title: doomed.title, residual });
            setDoomed(null);
            changed.update((count) => count + 1);
          }}
        />
      ) : null}
    </>
  );
}

function DocumentRow(props: { document: DocumentInfo; onDelete: () => void; onRetry: () => void }): JSX.Element {
  const { t, bytes, when, number } = useWords();
  const { document } = props;
  const counts: string[] = [];
  if (document.pages !== null && document.pages > 0) {
    counts.push(document.pages === 1 ? t("documents.page") : t("documents.pages", { count: number(document.pages) }));
  }
  if (document.status === "ready") {
    counts.push(document.chunks === 1 ? t("documents.chunk") : t("documents.chunks", { count: number(document.chunks) }));
  }
  counts.push(bytes(document.bytes), when(document.updated_at));
  return (
    <li class={`document is-${document.status}`}>
      <div class="document-words">
        <button
          type="button"
          class="document-title"
          aria-label={t("documents.open", { title: document.title })}
          disabled={document.status !== "ready"}
          onClick={() => openDocument(document)}
        >
          {document.title}
        </button>
        <p class="small faint">
          {document.collection !== "default" ? <span class="tag">{document.collection}</span> : null}
          {counts.filter((part) => part !== "").join(" · ")}
        </p>
        {document.error ? (
          <p class="small bad-text">
            {document.status === "ready" ? `${t("documents.updateFailed")} ` : ""}
            {document.error}
          </p>
        ) : null}
      </div>
      <span class={`status status-${document.status}`}>
        {document.status === "ready" ? <Icon name="check" size={16} /> : null}
        {document.status === "failed" ? <Icon name="warn" size={16} /> : null}
        {isBusy(document) ? <span class="pulse" aria-hidden="true" /> : null}
        {t(`status.${document.status}` as MessageKey)}
      </span>
      <div class="document-act">
        {document.status === "failed" ? (
          <IconButton icon="retry" label={t("documents.retry", { title: document.title })} onClick={props.onRetry} />
        ) : null}
        <IconButton icon="trash" label={t("documents.delete", { title: document.title })} onClick={props.onDelete} />
      </div>
    </li>
  );
}

function DeleteDialog(props: {
  document: DocumentInfo;
  onClose: () => void;
  onDeleted: (residual: Record<string, number>) => void;
}): JSX.Element {
  const { t } = useWords();
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const remove = async (): Promise<void> => {
    setBusy(true);
    try {
      const done = await call<Deleted>("DELETE", `/v1/documents/${encodeURIComponent(props.document.id)}`);
      props.onDeleted(done.residual);
    } catch (problem) {
      setError(problem);
      setBusy(false);
    }
  };
  return (
    <Dialog title={t("documents.deleteTitle")} onClose={props.onClose}>
      <p>{t("documents.deleteLead", { title: props.document.title })}</p>
      {error ? <ErrorNote error={error} /> : null}
      <div class="row end">
        <button type="button" class="button quiet" onClick={props.onClose}>
          {t("app.cancel")}
        </button>
        <button type="button" class="button danger" disabled={busy} onClick={() => void remove()}>
          {t("documents.deleteShort")}
        </button>
      </div>
    </Dialog>
  );
}

function Residual(props: { title: string; residual: Record<string, number>; onClose: () => void }): JSX.Element {
  const { t, number } = useWords();
  const counts = Object.entries(props.residual);
  const clean = counts.every(([, count]) => count === 0);
  return (
    <div class={clean ? "note good" : "note bad"} role="status">
      <Icon name={clean ? "shield" : "warn"} />
      <div>
        <p>
          <strong>{t("documents.deleted", { title: props.title })}</strong>
        </p>
        <p class="small">
          {clean ? t("documents.residualNone") : t("documents.residualSome")}{" "}
          {counts.map(([name, count]) => `${number(count)} ${t(`documents.residual.${name}` as MessageKey)}`).join(" · ")}
        </p>
      </div>
      <IconButton icon="close" size={18} label={t("app.close")} onClick={props.onClose} />
    </div>
  );
}
