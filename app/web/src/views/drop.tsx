import type { JSX } from "preact";
import { useRef, useState } from "preact/hooks";
import { useStore } from "../store";
import { useWords, type MessageKey } from "../text";
import { Icon, IconButton } from "../ui";
import { add, again, cancel, clearEnded, ended, uploads, type Upload } from "../uploads";

/** Takes files by drop, by button and by keyboard. */
export function DropCard(props: { title: string; lead: string; collection: string }): JSX.Element {
  const { t } = useWords();
  const [over, setOver] = useState(false);
  const input = useRef<HTMLInputElement>(null);
  return (
    <div
      class={over ? "drop over" : "drop"}
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={(event) => {
        if (!event.currentTarget.contains(event.relatedTarget as Node | null)) setOver(false);
      }}
      onDrop={(event) => {
        event.preventDefault();
        setOver(false);
        add(event.dataTransfer?.files ?? [], props.collection);
      }}
    >
      <span class="empty-icon">
        <Icon name="upload" size={26} />
      </span>
      <p class="drop-title">{over ? t("documents.dropNow") : props.title}</p>
      <p class="faint">{props.lead}</p>
      <button type="button" class="button" onClick={() => input.current?.click()}>
        {t("documents.choose")}
      </button>
      <input
        ref={input}
        type="file"
        multiple
        hidden
        onChange={(event) => {
          add(event.currentTarget.files ?? [], props.collection);
          event.currentTarget.value = "";
        }}
      />
    </div>
  );
}

// Dropping beside the card must not make the browser leave the page for the file.
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => event.preventDefault());

const STAGES: Record<string, MessageKey> = {
  queued: "status.queued",
  load: "status.loading",
  loading: "status.loading",
  chunk: "status.chunking",
  chunking: "status.chunking",
  embed: "status.embedding",
  embedding: "status.embedding",
  index: "status.indexing",
  indexing: "status.indexing",
  publish: "status.indexing",
};

const STATES: Record<Upload["state"], MessageKey> = {
  waiting: "status.waiting",
  sending: "documents.sending",
  working: "status.running",
  ready: "status.ready",
  duplicate: "documents.duplicate",
  failed: "status.failed",
  cancelled: "documents.cancelled",
};

export function UploadList(): JSX.Element | null {
  const { t } = useWords();
  const all = useStore(uploads);
  if (all.length === 0) return null;
  return (
    <section class="uploads" aria-label={t("documents.uploads")}>
      <div class="row">
        <h2 class="section-title">{t("documents.uploads")}</h2>
        <span class="spacer" />
        {all.some(ended) ? (
          <button type="button" class="link small" onClick={clearEnded}>
            {t("documents.clear")}
          </button>
        ) : null}
      </div>
      <ul>
        {all.map((upload) => (
          <UploadRow key={upload.id} upload={upload} />
        ))}
      </ul>
    </section>
  );
}

function UploadRow({ upload }: { upload: Upload }): JSX.Element {
  const { t, bytes } = useWords();
  const stage = upload.state === "working" ? (STAGES[upload.stage] ?? "status.running") : STATES[upload.state];
  const known = upload.total > 0 && !ended(upload);
  return (
    <li class={`upload is-${upload.state}`}>
      <div class="upload-words">
        <span class="clip strong">{upload.name}</span>
        <span class="small faint nowrap">{bytes(upload.bytes)}</span>
      </div>
      <p class="small" role="status">
        {upload.state === "ready" ? <Icon name="check" size={16} /> : null}
        {upload.state === "failed" ? <Icon name="warn" size={16} /> : null} {t(stage)}
        {upload.state === "ready" ? <span class="faint"> · {t("documents.keptOn")}</span> : null}
      </p>
      {upload.state === "failed" ? <p class="small bad-text">{upload.error || t("app.offline")}</p> : null}
      {ended(upload) ? null : (
        <progress
          aria-label={upload.name}
          max={known ? upload.total : undefined}
          value={known ? upload.done : undefined}
        />
      )}
      <div class="upload-act">
        {upload.state === "failed" ? (
          <IconButton icon="retry" label={t("documents.retry", { title: upload.name })} onClick={() => again(upload.id)} />
        ) : null}
        {ended(upload) ? null : (
          <IconButton
            icon="close"
            label={t("documents.cancelUpload", { name: upload.name })}
            onClick={() => cancel(upload.id)}
          />
        )}
      </div>
    </li>
  );
}
