import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { call, events, Problem } from "../api";
import { measuredOf, parseGolden } from "../evaluation";
import { chosenCollections } from "../options";
import { Store, useStore } from "../store";
import { useWords, type MessageKey } from "../text";
import { Empty, ErrorNote, Field } from "../ui";
import type { Job } from "../wire";
import { useCollections } from "./collections";
import { BarPlot, DifferenceTable, RiskPlot } from "./plots";

interface Run {
  id: string;
  collection: string;
  questions: number;
  at: string;
  names: string[];
}

const VARIANTS = {
  rerank: { retrieval: { dense: true, lexical: true }, rerank: true },
  hybrid: { retrieval: { dense: true, lexical: true }, rerank: false },
  dense: { retrieval: { dense: true, lexical: false }, rerank: false },
  lexical: { retrieval: { dense: false, lexical: true }, rerank: false },
} as const;
type Variant = keyof typeof VARIANTS;

const runs = new Store<Run[]>([], "attest.evaluations");
const MOST_RUNS = 30;

/** Whether the server has evaluations at all: a path that it does not serve answers 404 as such. */
function useServed(): boolean | null {
  const [served, setServed] = useState<boolean | null>(null);
  useEffect(() => {
    call<{ paths?: Record<string, unknown> }>("GET", "/openapi.json")
      .then((schema) => setServed(Object.keys(schema.paths ?? {}).some((path) => path.startsWith("/v1/evaluations"))))
      .catch((problem: unknown) => setServed(!(problem instanceof Problem && problem.status === 404)));
  }, []);
  return served;
}

export function EvaluationsView({ id }: { id: string }): JSX.Element {
  const { t } = useWords();
  const served = useServed();
  const kept = useStore(runs);
  const [chosen, choose] = useState(id || (kept[0]?.id ?? ""));
  return (
    <div class="evaluations">
      <h1>{t("evaluations.title")}</h1>
      <p class="lead">{t("evaluations.lead")}</p>
      {served === null ? <p class="faint">{t("app.loading")}</p> : null}
      {served === false ? (
        <Empty icon="evaluations" title={t("evaluations.missing")}>
          <p class="faint">{t("evaluations.missingLead")}</p>
        </Empty>
      ) : null}
      {served ? (
        <>
          {kept.length === 0 ? (
            <Empty icon="evaluations" title={t("evaluations.none")}>
              <p class="faint">{t("evaluations.noneLead")}</p>
            </Empty>
          ) : (
            <Earlier chosen={chosen} onChoose={choose} />
          )}
          {chosen ? <Result key={chosen} id={chosen} names={kept.find((run) => run.id === chosen)?.names ?? []} /> : null}
          <NewRun
            onStarted={(run) => {
              runs.update((all) => [run, ...all].slice(0, MOST_RUNS));
              choose(run.id);
            }}
          />
        </>
      ) : null}
    </div>
  );
}

function Earlier({ chosen, onChoose }: { chosen: string; onChoose: (id: string) => void }): JSX.Element {
  const { t, when } = useWords();
  return (
    <label class="inline-select wide">
      <span>{t("evaluations.earlier")}</span>
      <select value={chosen} onChange={(event) => onChoose(event.currentTarget.value)}>
        {useStore(runs).map((run) => (
          <option key={run.id} value={run.id}>
            {when(run.at)} · {run.collection} · {t("evaluations.goldenCount", { count: run.questions })}
          </option>
        ))}
      </select>
    </label>
  );
}

function Result({ id, names }: { id: string; names: string[] }): JSX.Element {
  const { t, number } = useWords();
  const [body, setBody] = useState<unknown>(null);
  const [progress, setProgress] = useState<Job["progress"] | null>(null);
  const [error, setError] = useState<unknown>(null);
  useEffect(() => {
    const controller = new AbortController();
    const read = async (): Promise<void> => {
      const path = encodeURIComponent(id);
      const found = await call<{ status?: string }>("GET", `/v1/evaluations/${path}`, undefined, controller.signal);
      setBody(found);
      if (found.status !== "queued" && found.status !== "running") return;
      for await (const { data } of events("GET", `/v1/jobs/${path}/events`, undefined, controller.signal)) {
        const job = data as Job;
        setProgress(job.progress ?? null);
        if (job.status === "failed") throw new Error(job.error ?? job.status);
      }
      setProgress(null);
      setBody(await call("GET", `/v1/evaluations/${path}`, undefined, controller.signal));
    };
    read().catch((problem: unknown) => controller.signal.aborted || setError(problem));
    return () => controller.abort();
  }, [id]);
  const rows = measuredOf(body, names);
  return (
    <section class="trace-part">
      {error ? <ErrorNote error={error} /> : null}
      {progress ? (
        <p class="progress" role="status">
          <span class="pulse" aria-hidden="true" />
          {t("evaluations.running", { done: number(progress.done), total: number(progress.total) })}
        </p>
      ) : null}
      <BarPlot title={t("evaluations.quality")} rows={rows} of={(row) => row.quality} most={1} digits={3} />
      <DifferenceTable rows={rows} />
      <RiskPlot rows={rows} />
      <BarPlot
        title={t("evaluations.latency")}
        rows={rows}
        of={(row) => Object.fromEntries(Object.entries(row.latency).map(([name, value]) => [name, { value, low: null, high: null }]))}
        digits={0}
      />
    </section>
  );
}

function NewRun({ onStarted }: { onStarted: (run: Run) => void }): JSX.Element {
  const { t } = useWords();
  const { collections } = useCollections();
  const [collection, setCollection] = useState(chosenCollections.value[0] ?? "default");
  const [text, setText] = useState("");
  const [variants, setVariants] = useState<Variant[]>(["rerank", "hybrid"]);
  const [error, setError] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  const input = useRef<HTMLInputElement>(null);
  const golden = parseGolden(text);
  const bad = golden.badLine > 0 ? t("evaluations.goldenBad", { line: golden.badLine, reason: golden.reason }) : "";
  const start = async (): Promise<void> => {
    setBusy(true);
    setError(null);
    try {
      const settings = variants.map((name) => VARIANTS[name]);
      const started = await call<Record<string, unknown>>("POST", "/v1/evaluations", { collection, golden: golden.questions, settings });
      const job = (started.job ?? started) as { id?: unknown };
      onStarted({
        id: String(started.evaluation_id ?? started.id ?? job.id ?? ""),
        collection,
        questions: golden.questions.length,
        at: new Date().toISOString(),
        names: variants.map((name) => t(`evaluations.variant.${name}` as MessageKey)),
      });
    } catch (problem) {
      setError(problem);
    } finally {
      setBusy(false);
    }
  };
  return (
    <form
      class="group"
      onSubmit={(event) => {
        event.preventDefault();
        void start();
      }}
    >
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
        hidden
        onChange={(event) => void event.currentTarget.files?.[0]?.text().then(setText)}
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
              onChange={(event) =>
                setVariants(event.currentTarget.checked ? [...variants, name] : variants.filter((one) => one !== name))
              }
            />
            <span>{t(`evaluations.variant.${name}` as MessageKey)}</span>
          </label>
        ))}
      </fieldset>
      {error ? <ErrorNote error={error} /> : null}
      <button type="submit" class="button" disabled={busy || golden.questions.length === 0 || variants.length === 0}>
        {t("evaluations.run")}
      </button>
    </form>
  );
}
