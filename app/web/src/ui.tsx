import type { ComponentChildren, JSX } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";
import { Problem } from "./api";
import { useWords } from "./text";

const PATHS = {
  ask: "M4 5h16v11H9l-5 4z",
  documents: "M6 3h8l4 4v14H6zM14 3v4h4M9 12h6M9 16h6",
  collections: "M3 7l9-4 9 4-9 4zM3 12l9 4 9-4M3 17l9 4 9-4",
  trace: "M5 5h5v4H5zM14 15h5v4h-5zM10 7h3a3 3 0 0 1 3 3v5",
  evaluations: "M4 20h16M7 16v-5M12 16V6M17 16v-8",
  settings: "M4 7h9M17 7h3M4 17h3M11 17h9M15 5v4M9 15v4",
  close: "M6 6l12 12M18 6L6 18",
  left: "M14 6l-6 6 6 6",
  right: "M10 6l6 6-6 6",
  up: "M7 20V10l5-7c2 0 2 2 2 3l-1 4h6l-1 8-2 2zM3 10v10",
  down: "M7 4v10l5 7c2 0 2-2 2-3l-1-4h6l-1-8-2-2zM3 4v10",
  send: "M12 19V5M6 11l6-6 6 6",
  stop: "M7 7h10v10H7z",
  add: "M12 5v14M5 12h14",
  minus: "M5 12h14",
  trash: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13M10 11v5M14 11v5",
  retry: "M19 8a8 8 0 1 0 1 6M19 4v4h-4",
  copy: "M9 9h11v11H9zM15 9V4H4v11h5",
  history: "M4 12a8 8 0 1 0 3-6M4 4v4h4M12 8v5l3 2",
  upload: "M12 16V4M7 9l5-5 5 5M4 16v4h16v-4",
  download: "M12 4v12M7 11l5 5 5-5M4 20h16",
  check: "M5 13l4 4L19 7",
  warn: "M12 4l9 16H3zM12 10v4M12 17v.5",
  shield: "M12 3l8 3v6c0 5-4 8-8 9-4-1-8-4-8-9V6zM9 12l2 2 4-4",
  none: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM8 12h8",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name, size = 20 }: { name: IconName; size?: number }): JSX.Element {
  return (
    <svg class="icon" width={size} height={size} viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}

export function IconButton(props: {
  icon: IconName;
  label: string;
  onClick: () => void;
  disabled?: boolean;
  pressed?: boolean;
  size?: number;
  class?: string;
}): JSX.Element {
  return (
    <button
      type="button"
      class={`icon-button ${props.class ?? ""}`}
      aria-label={props.label}
      title={props.label}
      disabled={props.disabled}
      aria-pressed={props.pressed}
      onClick={props.onClick}
    >
      <Icon name={props.icon} size={props.size} />
    </button>
  );
}

/** A modal dialog: the browser keeps the focus inside, closes it on Escape and gives the focus back. */
export function Dialog(props: {
  title: string;
  onClose: () => void;
  children: ComponentChildren;
  side?: boolean;
}): JSX.Element {
  const dialog = useRef<HTMLDialogElement>(null);
  const title = useId();
  const { t } = useWords();
  useEffect(() => {
    const opened = dialog.current;
    opened?.showModal();
    return () => opened?.close();
  }, []);
  return (
    <dialog
      ref={dialog}
      class={props.side ? "dialog side" : "dialog"}
      aria-labelledby={title}
      onCancel={(event) => {
        event.preventDefault();
        props.onClose();
      }}
      onClick={(event) => event.target === dialog.current && props.onClose()}
    >
      <div class="dialog-body">
        <header class="dialog-head">
          <h2 id={title}>{props.title}</h2>
          <IconButton icon="close" label={t("app.close")} onClick={props.onClose} />
        </header>
        {props.children}
      </div>
    </dialog>
  );
}

export function Empty(props: { icon: IconName; title: string; children?: ComponentChildren }): JSX.Element {
  return (
    <div class="empty">
      <span class="empty-icon">
        <Icon name={props.icon} size={28} />
      </span>
      <h2>{props.title}</h2>
      {props.children}
    </div>
  );
}

/** What went wrong, in the server's words, which name the remedy. */
export function ErrorNote({ error, onRetry }: { error: unknown; onRetry?: () => void }): JSX.Element {
  const { t } = useWords();
  const problem = error instanceof Problem ? error : null;
  const text = problem?.status === 0 ? t("app.offline") : error instanceof Error ? error.message : String(error);
  return (
    <div class="note bad" role="alert">
      <Icon name="warn" />
      <div>
        <p>{text}</p>
        {problem?.requestId ? <p class="faint small">{t("app.requestId", { id: problem.requestId })}</p> : null}
      </div>
      {onRetry ? (
        <button type="button" class="button quiet" onClick={onRetry}>
          {t("app.retry")}
        </button>
      ) : null}
    </div>
  );
}

export function Meter({ value, label, threshold }: { value: number; label: string; threshold?: number }): JSX.Element {
  const share = Math.max(0, Math.min(1, value));
  return (
    <div class="meter" role="img" aria-label={label}>
      <div class="meter-fill" style={{ width: `${share * 100}%` }} />
      {threshold !== undefined && threshold > 0.001 && threshold < 1 ? (
        <div class="meter-mark" style={{ left: `${threshold * 100}%` }} />
      ) : null}
    </div>
  );
}

export function Field(props: {
  label: string;
  help?: string;
  error?: string;
  children: (ids: { id: string; describedBy?: string }) => ComponentChildren;
}): JSX.Element {
  const id = useId();
  const help = `${id}-help`;
  return (
    <div class="field">
      <label for={id}>{props.label}</label>
      {props.children({ id, describedBy: props.help || props.error ? help : undefined })}
      {props.error ? (
        <p id={help} class="small bad-text" role="alert">
          {props.error}
        </p>
      ) : props.help ? (
        <p id={help} class="small faint">
          {props.help}
        </p>
      ) : null}
    </div>
  );
}

export function Switch(props: {
  label: string;
  checked: boolean;
  onChange: (checked: boolean) => void;
  disabled?: boolean;
}): JSX.Element {
  return (
    <label class="switch">
      <input
        type="checkbox"
        role="switch"
        checked={props.checked}
        disabled={props.disabled}
        onChange={(event) => props.onChange(event.currentTarget.checked)}
      />
      <span>{props.label}</span>
    </label>
  );
}
