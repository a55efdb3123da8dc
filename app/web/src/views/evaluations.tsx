import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { call, events } from "../api";
import { LATENCY, measuredOf, type Evaluation, type Measured } from "../evaluation";
import { useLoaded } from "../loading";
import { go } from "../router";
import { useWords, type MessageKey } from "../text";
import { Empty, ErrorNote } from "../ui";
import type { Job } from "../wire";
import { NewEvaluation } from "./evaluation-form";
import { BarPlot, DifferencePlot, RiskPlot } from "./plots";

function list(signal: AbortSignal): Promise<Evaluation[]> {
  return call<{ data: Evaluation[] }>("GET", "/v1/evaluations?limit=100", undefined, signal).then(({ data }) => data);
}

export function EvaluationsView({ id }: { id: string }): JSX.Element {
  const { t } = useWords();
  const { value: all, error, reload } = useLoaded(list, []);
  const chosen = id || (all?.[0]?.id ?? "");
  return (
    <div class="evaluations">
      <h1>{t("evaluations.title")}</h1>
      <p class="lead">{t("evaluations.lead")}</p>
      {error ? <ErrorNote error={error} /> : null}
      {all === null && !error ? <p class="faint">{t("app.loading")}</p> : null}
      {all?.length === 0 && !id ? (
        <Empty icon="evaluations" title={t("evaluations.none")}>
          <p class="faint">{t("evaluations.noneLead")}</p>
        </Empty>
      ) : null}
      {all !== null && all.length > 0 ? <Earlier all={all} chosen={chosen} /> : null}
      {chosen ? (
        <Result
          key={chosen}
          id={chosen}
          onEnded={reload}
          onRemoved={() => {
            go("evaluations");
            reload();
          }}
        />
      ) : null}
      {all !== null ? (
        <NewEvaluation
          onStarted={(started) => {
            reload();
            go("evaluations", started);
            scrollTo(0, 0);
          }}
        />
      ) : null}
    </div>
  );
}

function Earlier({ all, chosen }: { all: Evaluation[]; chosen: string }): JSX.Element {
  const { t, when } = useWords();
  return (
    <label class="inline-select wide">
      <span>{t("evaluations.earlier")}</span>
      <select value={chosen} onChange={(event) => go("evaluations", event.currentTarget.value)}>
        {all.map((one) => (
          <option key={one.id} value={one.id}>
            {when(one.created_at)} · {one.collection} · {t("evaluations.goldenCount", { count: one.questions })}
            {one.status === "succeeded" ? "" : ` · ${t(`evaluations.status.${one.status}` as MessageKey)}`}
          </option>
        ))}
      </select>
    </label>
  );
}

const AT_WORK = new Set<string>(["queued", "running"]);

function Result({ id, onEnded, onRemoved }: { id: string; onEnded: () => void; onRemoved: () => void }): JSX.Element {
  const { t } = useWords();
  const [found, setFound] = useState<Evaluation | null>(null);
  const [job, setJob] = useState<Job | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [round, setRound] = useState(0);
  const path = encodeURIComponent(id);
  useEffect(() => {
    const controller = new AbortController();
    const read = async (): Promise<void> => {
      const read = await call<Evaluation>("GET", `/v1/evaluations/${path}`, undefined, controller.signal);
      setFound(read);
      if (!AT_WORK.has(read.status)) return;
      for await (const { name, data } of events("GET", `/v1/jobs/${path}/events`, undefined, controller.signal)) {
        if (name === "progress" || name === "done") setJob(data as Job);
      }
      setFound(await call<Evaluation>("GET", `/v1/evaluations/${path}`, undefined, controller.signal));
      setJob(null);
      onEnded();
    };
    read().catch((problem: unknown) => controller.signal.aborted || setError(problem));
    return () => controller.abort();
  }, [id, round]);

  const act = (method: string, where: string, then: () => void): void => {
    call(method, where)
      .then(then)
      .catch((problem: unknown) => setError(problem));
  };

  if (found === null) return error ? <ErrorNote error={error} /> : <p class="faint">{t("app.loading")}</p>;
  const working = AT_WORK.has(found.status);
  return (
    <section class="trace-part" aria-label={t("evaluations.result")}>
      {error ? (
        <ErrorNote
          error={error}
          onRetry={() => {
            setError(null);
            setRound((count) => count + 1);
          }}
        />
      ) : null}
      {working ? <Working job={job ?? found.job ?? null} onStop={() => act("DELETE", `/v1/jobs/${path}`, () => undefined)} /> : null}
      {found.status === "cancelled" ? <p class="note">{t("evaluations.status.cancelled")}</p> : null}
      {found.status === "failed" ? <ErrorNote error={new Error(found.error ?? t("evaluations.status.failed"))} /> : null}
      {found.status === "succeeded" ? <Figures rows={measuredOf(found)} /> : null}
      {working ? null : (
        <button type="button" class="button quiet" onClick={() => act("DELETE", `/v1/evaluations/${path}`, onRemoved)}>
          {t("evaluations.remove")}
        </button>
      )}
    </section>
  );
}

function Working({ job, onStop }: { job: Job | null; onStop: () => void }): JSX.Element {
  const { t, number } = useWords();
  const done = job?.progress?.done ?? 0;
  const total = job?.progress?.total ?? 0;
  return (
    <div class="working">
      <p class="progress" role="status">
        <span class="pulse" aria-hidden="true" />
        {t("evaluations.running", { done: number(done), total: number(total) })}
      </p>
      <progress aria-label={t("evaluations.result")} value={done} max={Math.max(1, total)} />
      {job?.error ? <p class="small bad-text">{job.error}</p> : null}
      <button type="button" class="button quiet" onClick={onStop}>
        {t("evaluations.stop")}
      </button>
    </div>
  );
}

function Figures({ rows }: { rows: Measured[] }): JSX.Element {
  const { t } = useWords();
  return (
    <>
      <BarPlot title={t("evaluations.quality")} rows={rows} of={(row) => row.quality} most={1} digits={3} />
      <DifferencePlot rows={rows} hide={LATENCY} />
      <RiskPlot rows={rows} />
      <BarPlot title={t("evaluations.latency")} rows={rows} of={(row) => row.latency} digits={0} />
      <Missing rows={rows} />
    </>
  );
}

/** What could not be measured, and why; what went wrong while measuring. */
function Missing({ rows }: { rows: Measured[] }): JSX.Element | null {
  const { t } = useWords();
  const reasons = [...new Set(rows.flatMap((row) => Object.entries(row.missing).map(([name, why]) => `${name}: ${why}`)))];
  const failed = rows.filter((row) => row.failed > 0);
  if (reasons.length === 0 && failed.length === 0) return null;
  return (
    <details open={failed.length > 0}>
      <summary>{t("evaluations.missing")}</summary>
      <ul>
        {failed.map((row, place) => (
          <li key={`failed ${place}`}>
            {row.name}: {t("evaluations.failed", { count: row.failed })} {row.errors.join(" · ")}
          </li>
        ))}
        {reasons.map((reason) => (
          <li key={reason}>{reason}</li>
        ))}
      </ul>
    </details>
  );
}
