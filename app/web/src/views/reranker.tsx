import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { call } from "../api";
import { useLoaded } from "../loading";
import { nameOf, SHIPPED, useDoings } from "../promotions";
import { useRoute } from "../router";
import { gainsOf, nothingNew, type Passages, type Reranker, type Rerankers } from "../reranker";
import { useWords, type MessageKey } from "../text";
import { ErrorNote } from "../ui";
import type { Job } from "../wire";
import { GainPlot } from "./reranker-plot";

/** Behind the `?` of an address that leads to this part of the view. */
export const RANKING = "ranking";

interface State {
  passages: Passages;
  found: Rerankers;
}

function load(collection: string, signal: AbortSignal): Promise<State> {
  const of = `collection=${encodeURIComponent(collection)}`;
  return Promise.all([
    call<Passages>("GET", `/v1/rerankers/ratings?${of}`, undefined, signal),
    call<Rerankers>("GET", `/v1/rerankers?${of}`, undefined, signal),
  ]).then(([passages, found]) => ({ passages, found }));
}

/** How the passages of one collection are ranked, what ratings teach about that, and a reranker of its own. */
export function RerankerPart({ collection }: { collection: string }): JSX.Element {
  const { t } = useWords();
  const { value: state, error, reload } = useLoaded((signal) => load(collection, signal), [collection]);
  const { query } = useRoute();
  const title = useRef<HTMLHeadingElement>(null);
  const there = state !== null;
  useEffect(() => {
    if (!there || query !== RANKING) return;
    title.current?.scrollIntoView();
    title.current?.focus({ preventScroll: true });
  }, [there, query]);
  return (
    <section class="learned" aria-labelledby="reranker-title">
      <h2 id="reranker-title" tabIndex={-1} ref={title}>{t("reranker.title")}</h2>
      <p class="lead">{t("reranker.lead")}</p>
      {error ? <ErrorNote error={error} /> : null}
      {state === null && !error ? <p class="faint">{t("app.loading")}</p> : null}
      {state ? <Found collection={collection} state={state} reload={reload} /> : null}
    </section>
  );
}

function Found({ collection, state, reload }: { collection: string; state: State; reload: () => void }): JSX.Element {
  const words = useWords();
  const { t } = words;
  const { passages, found } = state;
  const own = found.data.filter((one) => one.id !== SHIPPED);
  const serving = own.find((one) => one.active);
  const [chosen, choose] = useState("");
  const { busy, said, error, job, train, rollBack, activate } = useDoings("reranker", collection, (well) => {
    if (well) choose("");
    reload();
  });
  const shown = own.find((one) => one.id === chosen) ?? own[0];
  const back = own.some((one) => one.status === "superseded") ? "reranker.backBefore" : "reranker.backShipped";
  return (
    <>
      <section class="group" aria-label={t("reranker.state")}>
        <p>
          {t("reranker.serves")}{" "}
          <strong>
            {!found.enabled
              ? t("reranker.off")
              : found.obstacle !== null
                ? t("reranker.configured")
                : serving
                  ? nameOf("reranker", serving, t)
                  : t("reranker.shipped")}
          </strong>
        </p>
        {found.obstacle === null ? null : (
          <p class="note">{t(found.enabled ? "reranker.configuredHelp" : "reranker.offHelp")}</p>
        )}
        <Collected passages={passages} stale={nothingNew(found.data, passages)} />
        <div class="row">
          <button
            type="button"
            class="button"
            disabled={busy || !passages.enough || found.obstacle !== null}
            aria-describedby="reranker-needed"
            onClick={train}
          >
            {t("reranker.train")}
          </button>
          {serving ? (
            <button type="button" class="button quiet" disabled={busy} onClick={rollBack}>
              {t(back)}
            </button>
          ) : null}
        </div>
        {job ? <Progress job={job} /> : null}
        <p class="said" role="status">
          {said}
        </p>
        {error ? <ErrorNote error={error} /> : null}
      </section>
      <GainPlot gains={gainsOf(own)} />
      {own.length > 1 ? (
        <label class="inline-select wide">
          <span>{t("reranker.version")}</span>
          <select value={shown?.id} onChange={(event) => choose(event.currentTarget.value)}>
            {own.map((one) => (
              <option key={one.id} value={one.id}>
                {nameOf("reranker", one, t)} · {t(`calibration.status.${one.status}` as MessageKey)} · {words.when(one.created_at ?? "")}
              </option>
            ))}
          </select>
        </label>
      ) : null}
      {shown ? <Verdict version={shown} /> : null}
      {shown && shown.promoted && !shown.active ? (
        <button type="button" class="button quiet" disabled={busy} onClick={() => activate(shown.id)}>
          {t("reranker.activate", { name: nameOf("reranker", shown, t) })}
        </button>
      ) : null}
    </>
  );
}

/** Why a version serves or does not; the server's own sentence holds the figures. */
function Verdict({ version }: { version: Reranker }): JSX.Element {
  const { t } = useWords();
  return (
    <p class="small verdict">
      <strong>{nameOf("reranker", version, t)}</strong>: {t(`calibration.why.${version.status}` as MessageKey)}{" "}
      <span class="faint" lang="en">
        {version.reason}
      </span>
    </p>
  );
}

/** How far a training has come: it searches for every question, and then learns. */
function Progress({ job }: { job: Job }): JSX.Element {
  const { t } = useWords();
  const { done, total } = job.progress;
  const searching = job.stage === "searching" && total > 0;
  const waiting = job.stage === null || job.status === "queued";
  const told = searching ? t("reranker.searching", { done, total }) : t(waiting ? "reranker.waiting" : "reranker.learning");
  return (
    <div>
      <progress aria-label={t("reranker.progress")} value={searching ? done : undefined} max={searching ? total : undefined} />
      <p class="small faint">{told}</p>
    </div>
  );
}

/** How many questions have a passage that helped, and how many a training still needs. */
function Collected({ passages, stale }: { passages: Passages; stale: boolean }): JSX.Element {
  const { t, number } = useWords();
  const { needed } = passages;
  const parts = [
    needed.to_train > 0 ? t("reranker.needTrain", { count: needed.to_train }) : "",
    needed.to_measure > 0 ? t("reranker.needMeasure", { count: needed.to_measure }) : "",
  ].filter((one) => one !== "");
  const lacking = [
    t("reranker.needed", { count: needed.questions }),
    parts.length > 0 ? t("calibration.ofThem", { kinds: parts.join(t("calibration.and")) }) : "",
    t("reranker.aside"),
  ].filter((one) => one !== "");
  const figures: [number, MessageKey][] = [
    [passages.questions, "reranker.questions"],
    [passages.to_train, "reranker.toTrain"],
    [passages.to_measure, "reranker.toMeasure"],
    [passages.unhelpful, "reranker.unhelpful"],
  ];
  return (
    <div>
      <dl class="figures">
        {figures.map(([count, name]) => (
          <div key={name}>
            <dd>{number(count)}</dd>
            <dt>{t(name)}</dt>
          </div>
        ))}
      </dl>
      {passages.enough ? null : (
        <progress aria-label={t("reranker.collected")} value={passages.questions} max={passages.questions + needed.questions} />
      )}
      <p id="reranker-needed" class="small">
        {passages.enough ? t(stale ? "reranker.nothingNew" : "reranker.enough") : lacking.join(" ")}
      </p>
      {passages.gone > 0 ? <p class="small faint">{t("reranker.gone", { count: passages.gone })}</p> : null}
    </div>
  );
}
