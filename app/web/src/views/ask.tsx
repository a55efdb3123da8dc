import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { ask, conversations, forget, forgetAll, openConversation, stop } from "../conversations";
import { chosenCollections, changes, options, routesChoose } from "../options";
import { useStore } from "../store";
import { useWords } from "../text";
import { Dialog, Icon, IconButton } from "../ui";
import { useCollections, useRoutes } from "./collections";
import { DropCard, UploadList } from "./drop";
import { settingsOpen } from "./settings";
import { TurnView } from "./turn";

export function AskView(): JSX.Element {
  const { t } = useWords();
  const all = useStore(conversations);
  const open = useStore(openConversation);
  const current = all.find((one) => one.id === open);
  const [historyShown, showHistory] = useState(false);
  const changed = changes(useStore(options));
  const { collections } = useCollections();
  const chosen = useStore(chosenCollections);
  const routed = useStore(routesChoose);
  const asked = (name: string): boolean => routed || chosen.includes(name);
  const empty = collections !== null && collections.every((one) => !asked(one.name) || one.documents === 0);
  const turns = current?.turns ?? [];
  const last = turns.at(-1);
  const end = useRef<HTMLDivElement>(null);

  useEffect(() => {
    if (turns.length > 0) end.current?.scrollIntoView({ block: "end", behavior: reducedMotion() ? "auto" : "smooth" });
  }, [turns.length, current?.id]);

  return (
    <div class="ask">
      <div class="ask-bar">
        <CollectionPicker />
        <span class="spacer" />
        <IconButton icon="history" label={t("ask.history")} onClick={() => showHistory(true)} />
        <IconButton
          icon="add"
          label={t("ask.new")}
          disabled={current === undefined}
          onClick={() => {
            openConversation.set("");
            document.getElementById("question")?.focus();
          }}
        />
        <span class="with-badge">
          <IconButton icon="settings" label={t("nav.settings")} onClick={() => settingsOpen.set(true)} />
          {changed > 0 ? <span class="badge" aria-label={t("settings.changed", { count: changed })}>{changed}</span> : null}
        </span>
      </div>
      {turns.length === 0 ? (
        <div class="ask-start">
          <h1>{t("ask.title")}</h1>
          <p class="lead">{t("ask.lead")}</p>
          {empty ? (
            <DropCard title={t("ask.emptyTitle")} lead={t("ask.emptyLead")} collection={chosen[0] ?? "default"} />
          ) : null}
          <UploadList />
        </div>
      ) : (
        <div class="turns">
          <h1 class="hidden">{t("ask.conversation")}</h1>
          {turns.map((turn) => (
            <TurnView key={turn.id} turn={turn} latest={turn === last} />
          ))}
          <div ref={end} class="turns-end" />
        </div>
      )}
      <Composer running={last?.state === "running" ? last.id : null} followUp={turns.length > 0} />
      {historyShown ? <HistoryDialog onClose={() => showHistory(false)} /> : null}
    </div>
  );
}

export function reducedMotion(): boolean {
  return matchMedia("(prefers-reduced-motion: reduce)").matches;
}

function Composer({ running, followUp }: { running: string | null; followUp: boolean }): JSX.Element {
  const { t } = useWords();
  const [text, setText] = useState("");
  const [error, setError] = useState("");
  const area = useRef<HTMLTextAreaElement>(null);

  useEffect(() => {
    const field = area.current;
    if (field === null) return;
    field.style.height = "auto";
    field.style.height = `${Math.min(field.scrollHeight, 220)}px`;
  }, [text]);

  const send = (): void => {
    const question = text.trim();
    if (question === "" || running !== null) return;
    try {
      ask(question);
      setText("");
      setError("");
    } catch (problem) {
      setError(t("settings.filtersBad", { reason: (problem as Error).message }));
    }
  };
  return (
    <form
      class="composer"
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      <label class="hidden" for="question">
        {t("ask.label")}
      </label>
      <textarea
        id="question"
        ref={area}
        rows={1}
        value={text}
        maxLength={8000}
        placeholder={followUp ? t("ask.followUp") : t("ask.placeholder")}
        onInput={(event) => setText(event.currentTarget.value)}
        onKeyDown={(event) => {
          // an input method's Enter chooses a character and must not send
          if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
            event.preventDefault();
            send();
          }
        }}
      />
      {running !== null ? (
        <button type="button" class="round" aria-label={t("ask.stop")} title={t("ask.stop")} onClick={() => stop(running)}>
          <Icon name="stop" />
        </button>
      ) : (
        <button type="submit" class="round" aria-label={t("ask.send")} title={t("ask.send")} disabled={text.trim() === ""}>
          <Icon name="send" />
        </button>
      )}
      {error ? (
        <p class="small bad-text" role="alert">
          {error}
        </p>
      ) : null}
    </form>
  );
}

function CollectionPicker(): JSX.Element {
  const { t } = useWords();
  const { collections } = useCollections();
  const declared = useRoutes();
  const chosen = useStore(chosenCollections);
  const routed = useStore(routesChoose);
  const [shown, show] = useState(false);
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (!shown) return;
    const leave = (event: Event): void => {
      if (!box.current?.contains(event.target as Node)) show(false);
    };
    addEventListener("pointerdown", leave);
    addEventListener("focusin", leave);
    return () => {
      removeEventListener("pointerdown", leave);
      removeEventListener("focusin", leave);
    };
  }, [shown]);
  useEffect(() => {
    // a collection that was deleted elsewhere would turn every question into an error
    if (collections === null) return;
    const known = chosen.filter((name) => collections.some((one) => one.name === name));
    if (known.length !== chosen.length) chosenCollections.set(known.length > 0 ? known : ["default"]);
  }, [collections, chosen]);
  useEffect(() => {
    if (declared === false) routesChoose.set(false); // the last route is gone: the chosen collections are asked again
  }, [declared]);
  const names = [...new Set([...(collections ?? []).map((one) => one.name), ...chosen])];
  return (
    <div
      class="picker"
      ref={box}
      onKeyDown={(event) => {
        if (event.key === "Escape" && shown) {
          event.stopPropagation();
          show(false);
          box.current?.querySelector("button")?.focus();
        }
      }}
    >
      <button type="button" class="button quiet" aria-expanded={shown} onClick={() => show(!shown)}>
        <Icon name="collections" size={18} />
        <span class="hidden">{t("ask.in")}: </span>
        <span class="picker-names">{routed ? t("ask.routesChoose") : chosen.join(", ")}</span>
      </button>
      {shown ? (
        <fieldset class="picker-list">
          <legend class="small faint">{t("ask.in")}</legend>
          {declared || routed ? (
            <label class="check">
              <input
                type="checkbox"
                checked={routed}
                onChange={(event) => routesChoose.set(event.currentTarget.checked)}
              />
              <span>{t("ask.letChoose")}</span>
            </label>
          ) : null}
          {names.map((name) => (
            <label key={name} class="check">
              <input
                type="checkbox"
                checked={chosen.includes(name)}
                disabled={routed || (chosen.length === 1 && chosen[0] === name)}
                onChange={(event) =>
                  chosenCollections.set(
                    event.currentTarget.checked ? [...chosen, name] : chosen.filter((other) => other !== name),
                  )
                }
              />
              <span>{name}</span>
              <span class="small faint">{collections?.find((one) => one.name === name)?.documents ?? ""}</span>
            </label>
          ))}
        </fieldset>
      ) : null}
    </div>
  );
}

function HistoryDialog({ onClose }: { onClose: () => void }): JSX.Element {
  const { t, when } = useWords();
  const all = useStore(conversations);
  return (
    <Dialog title={t("ask.history")} onClose={onClose} side>
      {all.length === 0 ? <p class="faint">{t("ask.historyEmpty")}</p> : null}
      <ul class="history">
        {all.map((one) => (
          <li key={one.id}>
            <button
              type="button"
              class="history-open"
              onClick={() => {
                openConversation.set(one.id);
                onClose();
              }}
            >
              <span class="clip">{one.title}</span>
              <span class="small faint">{when(one.turns.at(-1)?.askedAt ?? "")}</span>
            </button>
            <IconButton icon="trash" size={18} label={t("ask.forget", { title: one.title })} onClick={() => forget(one.id)} />
          </li>
        ))}
      </ul>
      {all.length > 0 ? (
        <button type="button" class="button quiet" onClick={forgetAll}>
          {t("ask.forgetAll")}
        </button>
      ) : null}
    </Dialog>
  );
}
