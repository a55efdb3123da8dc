import type { JSX } from "preact";
import { useRef, useState } from "preact/hooks";
import { apiKey, keyIsKept, keyWanted, setKey } from "../api";
import { DEFAULTS, KINDS, options, parseFilters, type Options } from "../options";
import { Preferences } from "../preferences";
import { Store, useStore } from "../store";
import { useWords } from "../text";
import { Dialog, Field, Switch } from "../ui";

export const settingsOpen = new Store<boolean>(false);

function put(part: Partial<Options>): void {
  options.update((current) => ({ ...current, ...part }));
}

export function SettingsDialog(): JSX.Element {
  const { t } = useWords();
  const keyFirst = useRef(false); // nothing else works without it; and it stays there, so that the focus does
  if (useStore(keyWanted)) keyFirst.current = true;
  return (
    <Dialog title={t("settings.title")} onClose={() => settingsOpen.set(false)} side>
      <p class="faint">{t("settings.lead")}</p>
      {keyFirst.current ? <KeyPart /> : null}
      <SearchPart />
      <AnswerPart />
      <WherePart />
      {keyFirst.current ? null : <KeyPart />}
      <button type="button" class="button quiet" onClick={() => options.set(DEFAULTS)}>
        {t("settings.reset")}
      </button>
      <div class="only-phone">
        <Preferences />
      </div>
    </Dialog>
  );
}

function Whole(props: { label: string; help?: string; value: string; most: number; onChange: (value: string) => void }): JSX.Element {
  const { t } = useWords();
  return (
    <Field label={props.label} help={props.help}>
      {({ id, describedBy }) => (
        <input
          id={id}
          aria-describedby={describedBy}
          type="number"
          inputMode="numeric"
          min={1}
          max={props.most}
          step={1}
          placeholder={t("settings.default")}
          value={props.value}
          onInput={(event) => event.currentTarget.validity.valid && props.onChange(event.currentTarget.value)}
        />
      )}
    </Field>
  );
}

function SearchPart(): JSX.Element {
  const { t } = useWords();
  const current = useStore(options);
  return (
    <fieldset class="group">
      <legend>{t("settings.search")}</legend>
      <Switch
        label={t("settings.dense")}
        checked={current.dense}
        disabled={!current.lexical}
        onChange={(dense) => put({ dense })}
      />
      <Switch
        label={t("settings.lexical")}
        checked={current.lexical}
        disabled={!current.dense}
        onChange={(lexical) => put({ lexical })}
      />
      {current.dense !== current.lexical ? <p class="small faint">{t("settings.oneNeeded")}</p> : null}
      <Switch label={t("settings.rerank")} checked={current.rerank} onChange={(rerank) => put({ rerank })} />
      <div class="pair">
        <Whole label={t("settings.topK")} value={current.topK} most={1000} onChange={(topK) => put({ topK })} />
        <Whole
          label={t("settings.rrfK")}
          help={t("settings.rrfKHelp")}
          value={current.rrfK}
          most={100_000}
          onChange={(rrfK) => put({ rrfK })}
        />
      </div>
      <Field label={t("settings.translate")}>
        {({ id }) => (
          <select
            id={id}
            value={current.translate}
            onChange={(event) => put({ translate: event.currentTarget.value as Options["translate"] })}
          >
            <option value="auto">{t("settings.translate.auto")}</option>
            <option value="none">{t("settings.translate.none")}</option>
            <option value="some">{t("settings.translate.some")}</option>
          </select>
        )}
      </Field>
      {current.translate === "some" ? (
        <div class="checks">
          {KINDS.map((kind) => (
            <label key={kind} class="check">
              <input
                type="checkbox"
                checked={current.kinds.includes(kind)}
                onChange={(event) =>
                  put({
                    kinds: event.currentTarget.checked
                      ? [...current.kinds, kind]
                      : current.kinds.filter((other) => other !== kind),
                  })
                }
              />
              <span>{t(`settings.translate.${kind}`)}</span>
            </label>
          ))}
        </div>
      ) : null}
    </fieldset>
  );
}

function AnswerPart(): JSX.Element {
  const { t, number } = useWords();
  const current = useStore(options);
  return (
    <fieldset class="group">
      <legend>{t("settings.answer")}</legend>
      <Whole
        label={t("settings.contextChunks")}
        value={current.contextChunks}
        most={50}
        onChange={(contextChunks) => put({ contextChunks })}
      />
      <Field label={t("settings.style")}>
        {({ id }) => (
          <select
            id={id}
            value={current.style}
            onChange={(event) => put({ style: event.currentTarget.value as Options["style"] })}
          >
            <option value="">{t("settings.style.server")}</option>
            <option value="auto">{t("settings.style.auto")}</option>
            <option value="short">{t("settings.style.short")}</option>
            <option value="sentence">{t("settings.style.sentence")}</option>
            <option value="paragraph">{t("settings.style.paragraph")}</option>
            <option value="list">{t("settings.style.list")}</option>
          </select>
        )}
      </Field>
      <Field label={t("settings.mode")}>
        {({ id }) => (
          <select
            id={id}
            value={current.mode}
            onChange={(event) => put({ mode: event.currentTarget.value as Options["mode"] })}
          >
            <option value="fusion">{t("settings.mode.fusion")}</option>
            <option value="rag_sequence">{t("settings.mode.rag_sequence")}</option>
            <option value="rag_token">{t("settings.mode.rag_token")}</option>
          </select>
        )}
      </Field>
      <Field label={t("settings.abstain")}>
        {({ id }) => (
          <select
            id={id}
            value={current.abstain}
            onChange={(event) => put({ abstain: event.currentTarget.value as Options["abstain"] })}
          >
            <option value="auto">{t("settings.abstain.auto")}</option>
            <option value="never">{t("settings.abstain.never")}</option>
            <option value="threshold">{t("settings.abstain.threshold")}</option>
          </select>
        )}
      </Field>
      {current.abstain === "threshold" ? (
        <Field label={`${t("settings.threshold")}: ${number(Number(current.threshold), 2)}`}>
          {({ id }) => (
            <input
              id={id}
              type="range"
              min="0"
              max="1"
              step="0.05"
              value={current.threshold}
              onInput={(event) => put({ threshold: event.currentTarget.value })}
            />
          )}
        </Field>
      ) : null}
    </fieldset>
  );
}

function WherePart(): JSX.Element {
  const { t } = useWords();
  const current = useStore(options);
  let error = "";
  try {
    parseFilters(current.filters);
  } catch (problem) {
    error = t("settings.filtersBad", { reason: (problem as Error).message });
  }
  return (
    <fieldset class="group">
      <legend>{t("settings.where")}</legend>
      <Field
        label={t("settings.filters")}
        help={t("settings.filtersHelp", { example: '{"year": {"gte": 2024}}' })}
        error={error}
      >
        {({ id, describedBy }) => (
          <textarea
            id={id}
            aria-describedby={describedBy}
            aria-invalid={error !== ""}
            class="mono"
            rows={2}
            spellcheck={false}
            value={current.filters}
            onInput={(event) => put({ filters: event.currentTarget.value })}
          />
        )}
      </Field>
      <Field label={t("settings.asOf")} help={t("settings.asOfHelp")}>
        {({ id, describedBy }) => (
          <input
            id={id}
            aria-describedby={describedBy}
            type="datetime-local"
            value={current.asOf}
            onInput={(event) => put({ asOf: event.currentTarget.value })}
          />
        )}
      </Field>
    </fieldset>
  );
}

function KeyPart(): JSX.Element {
  const { t } = useWords();
  const wanted = useStore(keyWanted);
  const inUse = useStore(apiKey) !== "";
  const [key, setText] = useState("");
  const [keep, setKeep] = useState(keyIsKept());
  return (
    <fieldset class={wanted ? "group wanted" : "group"}>
      <legend>{t("settings.key")}</legend>
      {wanted ? (
        <p class="bad-text" role="alert">
          {t("settings.keyWanted")}
        </p>
      ) : null}
      <form
        onSubmit={(event) => {
          event.preventDefault();
          setKey(key.trim(), keep);
          setText("");
        }}
      >
        <Field label={t("settings.key")} help={t("settings.keyHelp")}>
          {({ id, describedBy }) => (
            <input
              id={id}
              aria-describedby={describedBy}
              type="password"
              autocomplete="off"
              spellcheck={false}
              value={key}
              onInput={(event) => setText(event.currentTarget.value)}
            />
          )}
        </Field>
        <label class="check">
          <input type="checkbox" checked={keep} onChange={(event) => setKeep(event.currentTarget.checked)} />
          <span>{t("settings.keyKeep")}</span>
        </label>
        <div class="row">
          <button type="submit" class="button" disabled={key.trim() === ""}>
            {t("settings.keySave")}
          </button>
          {inUse ? (
            <button type="button" class="button quiet" onClick={() => setKey("", false)}>
              {t("settings.keyGone")}
            </button>
          ) : null}
          {inUse && !wanted ? <span class="small faint">{t("settings.keySet")}</span> : null}
        </div>
      </form>
    </fieldset>
  );
}
