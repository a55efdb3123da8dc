import type { JSX } from "preact";
import { useRef, useState } from "preact/hooks";
import { call } from "../api";
import { parseGolden, parseSettings } from "../evaluation";
import { chosenCollections } from "../options";
import { useWords, type MessageKey } from "../text";
import { ErrorNote, Field } from "../ui";
import { useCollections } from "./collections";

const VARIANTS = {
  rerank: { retrieval: { dense: true, lexical: true }, rerank: true },
  hybrid: { retrieval: { dense: true, lexical: true }, rerank: false },
  dense: { retrieval: { dense: true, lexical: false }, rerank: false },
  lexical: { retrieval: { dense: false, lexical: true }, rerank: false },
} as const;
type Variant = keyof typeof VARIANTS;

/** Questions and settings for a new evaluation; `onStarted` gets its id. */
export function NewEvaluation({ onStarted }: { onStarted: (id: string) => void }): JSX.Element {
  const { t } = useWords();
  const { collections } = useCollections();
  const [collection, setCollection] = useState(chosenCollections.value[0] ?? "default");
  const [text, setText] = useState("");
  const [own, setOwn] = useState("");
  const [variants, setVariants] = useState<Variant[]>(["rerank", "hybrid"]);
  const [error, setError] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  const input = useRef<HTMLInputElement>(null);
  const golden = parseGolden(text);
  const written = parseSettings(own);
  const settings = [...variants.map((name) => ({ name: t(`evaluations.variant.${name}`), ...VARIANTS[name] })), ...(written ?? [])];
  const bad = golden.badLine > 0 ? t("evaluations.goldenBad", { line: golden.badLine, reason: golden.reason }) : "";

  const start = async (): Promise<void> => {
    setBusy(true);
    setError(null);
    try {
      const started = await call<{ id: string }>("POST", "/v1/evaluations", { collection, golden: golden.questions, settings });
      onStarted(started.id);
    } catch (problem) {
      setError(problem);
    } finally {
      setBusy(false);
    }
  };

  return (
    <form
      class="group"
      aria-label={t("evaluations.new")}
      onSubmit={(event) => {
        event.preventDefault();
        void start();
      }}
    >
      <h2>{t("evaluations.new")}</h2>
      <Field
        label={t("evaluations.golden")}
        help={golden.questions.length > 0 ? t("evaluations.goldenCount", { count: golden.questions.length }) : t("evaluations.goldenHelp")}
        error={bad}
      >
        {({ id, describedBy }) => (
          <textarea
            id={id}
            aria-describedby={describedBy}
            aria-invalid={bad !== ""}
            class="mono"
            rows={6}
            spellcheck={false}
            placeholder='{"question": "…", "answers": ["…"]}'
            value={text}
            onInput={(event) => setText(event.currentTarget.value)}
          />
        )}
      </Field>
      <button type="button" class="button quiet" onClick={() => input.current?.click()}>
        {t("evaluations.file")}
      </button>
      <input
        ref={input}
        type="file"
        accept=".jsonl,.json,.txt"
        aria-label={t("evaluations.golden")}
        hidden
        onChange={(event) => {
          const chosen = event.currentTarget;
          void chosen.files?.[0]?.text().then(setText);
          chosen.value = ""; // the same file, changed, can be opened again
        }}
      />
      <Field label={t("documents.into")}>
        {({ id }) => (
          <select id={id} value={collection} onChange={(event) => setCollection(event.currentTarget.value)}>
            {(collections ?? []).map((one) => (
              <option key={one.name}>{one.name}</option>
            ))}
          </select>
        )}
      </Field>
      <fieldset class="checks">
        <legend>{t("evaluations.compare")}</legend>
        {(Object.keys(VARIANTS) as Variant[]).map((name) => (
          <label key={name} class="check">
            <input
              type="checkbox"
              checked={variants.includes(name)}
              onChange={(event) => {
                const wanted = event.currentTarget.checked;
                // in the order in which they stand here: the first is what the others are compared with
                setVariants((Object.keys(VARIANTS) as Variant[]).filter((one) => (one === name ? wanted : variants.includes(one))));
              }}
            />
            <span>{t(`evaluations.variant.${name}` as MessageKey)}</span>
          </label>
        ))}
      </fieldset>
      <details>
        <summary>{t("evaluations.own")}</summary>
        <Field label={t("evaluations.ownLabel")} help={t("evaluations.ownHelp")} error={written === null ? t("evaluations.ownBad") : ""}>
          {({ id, describedBy }) => (
            <textarea
              id={id}
              aria-describedby={describedBy}
              aria-invalid={written === null}
              class="mono"
              rows={3}
              spellcheck={false}
              placeholder='[{"name": "…", "context_chunks": 3}]'
              value={own}
              onInput={(event) => setOwn(event.currentTarget.value)}
            />
          )}
        </Field>
      </details>
      {error ? <ErrorNote error={error} /> : null}
      <button
        type="submit"
        class="button"
        disabled={busy || golden.questions.length === 0 || settings.length === 0 || written === null}
      >
        {t("evaluations.run")}
      </button>
    </form>
  );
}
