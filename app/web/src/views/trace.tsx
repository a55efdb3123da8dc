import type { ComponentChildren, JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { call } from "../api";
import { conversations, findTurn, type Turn } from "../conversations";
import { go, href } from "../router";
import { useStore } from "../store";
import { useWords } from "../text";
import { Empty, ErrorNote, Icon, Meter } from "../ui";
import type { Answer, Hit, Stage } from "../wire";
import { confidenceKey } from "./turn";
import { openSource } from "./source";
import { RankChart } from "./trace-ranks";

const SEARCH_HITS = 50;

/** The way of one question: what was searched for, how passages rose and fell, what was read, and how long it took. */
export function TraceView({ id }: { id: string }): JSX.Element {
  const { t } = useWords();
  const all = useStore(conversations);
  const turns = all.flatMap((one) => one.turns).filter((turn) => turn.answer !== null);
  const turn = (id ? findTurn(id)?.turn : undefined) ?? turns.toSorted((a, b) => b.askedAt.localeCompare(a.askedAt))[0];
  return (
    <div class="trace">
      <h1>{t("trace.title")}</h1>
      <p class="lead">{t("trace.lead")}</p>
      {turn === undefined || turn.answer === null ? (
        <Empty icon="trace" title={t("trace.empty")}>
          <p class="faint">{t("trace.emptyLead")}</p>
          <a class="button" href={href("ask")}>
            {t("nav.ask")}
          </a>
        </Empty>
      ) : (
        <>
          <div class="row wrap">
            <label class="inline-select wide">
              <span class="hidden">{t("trace.choose")}</span>
              <select value={turn.id} onChange={(event) => go("trace", event.currentTarget.value)}>
                {turns.map((one) => (
                  <option key={one.id} value={one.id}>
                    {one.question.slice(0, 90)}
                  </option>
                ))}
              </select>
            </label>
            <a class="button quiet" href={href("ask")}>
              {t("trace.back")}
            </a>
          </div>
          <TraceOf key={turn.id} turn={turn} answer={turn.answer} />
        </>
      )}
    </div>
  );
}

function Part(props: { title: string; aside?: ComponentChildren; children: ComponentChildren }): JSX.Element {
  return (
    <section class="trace-part">
      <div class="row">
        <h2 class="section-title">{props.title}</h2>
        <span class="spacer" />
        {props.aside}
      </div>
      {props.children}
    </section>
  );
}

function TraceOf({ turn, answer }: { turn: Turn; answer: Answer }): JSX.Element {
  const { t, number } = useWords();
  const stages = answer.trace?.stages;
  return (
    <>
      <div class="trace-answer">
        <p class="strong">{turn.question}</p>
        <p class={answer.abstained ? "faint" : ""}>{answer.answer}</p>
        <div class="confidence">
          <Meter
            value={answer.confidence}
            threshold={answer.threshold}
            label={`${t("ask.confidence")}: ${number(answer.confidence, 2)}`}
          />
          <span>
            {answer.abstained ? t("ask.refused") : t(confidenceKey(answer.confidence))}
            <span class="faint"> · {number(answer.confidence, 2)}</span>
          </span>
        </div>
      </div>
      {stages === undefined ? (
        <p class="note">{t("trace.noTrace")}</p>
      ) : (
        <>
          <Queries stages={stages} question={turn.question} />
          <Ranks turn={turn} answer={answer} stages={stages} />
          <Prompt stages={stages} />
          <Evidence turn={turn} stages={stages} />
          <Timings stages={stages} total={answer.timings_ms.total ?? 0} />
          <details class="raw">
            <summary>{t("trace.raw")}</summary>
            <pre tabIndex={0}>{JSON.stringify(answer, null, 2)}</pre>
          </details>
        </>
      )}
    </>
  );
}

function detailOf(stages: Stage[], name: string): Record<string, unknown> {
  return stages.findLast((stage) => stage.stage === name)?.detail ?? {};
}

interface Queried {
  kind: string;
  text: string;
}

function queriesOf(stages: Stage[], question: string): Queried[] {
  const found = stages.map((stage) => stage.detail.queries).find((queries) => Array.isArray(queries));
  const queries = ((found as unknown[] | undefined) ?? []).filter(
    (query): query is Queried => typeof query === "object" && query !== null && typeof (query as Queried).text === "string",
  );
  return queries.length > 0 ? queries : [{ kind: "original", text: question }];
}

function Queries({ stages, question }: { stages: Stage[]; question: string }): JSX.Element {
  const { t } = useWords();
  return (
    <Part title={t("trace.queries")}>
      <ul class="queries">
        {queriesOf(stages, question).map((query, place) => (
          <li key={place}>
            <span class="tag">{query.kind}</span> {query.text}
          </li>
        ))}
      </ul>
    </Part>
  );
}

function Ranks({ turn, answer, stages }: { turn: Turn; answer: Answer; stages: Stage[] }): JSX.Element {
  const { t } = useWords();
  const kept = stages.map((stage) => stage.detail.candidates).find((rows) => Array.isArray(rows)) as Hit[] | undefined;
  const [hits, setHits] = useState<Hit[] | null>(kept ?? null);
  const [generations, setGenerations] = useState<Record<string, number>>(answer.collection_generation);
  const [error, setError] = useState<unknown>(null);
  useEffect(() => {
    if (kept !== undefined) return;
    const { filters, as_of, translate, retrieval, rerank } = turn.body;
    const collections = turn.body.collections ?? Object.keys(answer.collection_generation);
    if (collections.length === 0) {
      setHits([]); // a table or a fixed reply answered: nothing was searched
      return;
    }
    const controller = new AbortController();
    const query = queriesOf(stages, turn.question)[0]?.text ?? turn.question;
    const body = { query, collections, filters, as_of, translate, retrieval, rerank, top_k: SEARCH_HITS };
    call<{ hits: Hit[]; collection_generation?: Record<string, number> }>("POST", "/v1/search", body, controller.signal)
      .then((found) => {
        setHits(found.hits);
        if (found.collection_generation) setGenerations(found.collection_generation);
      })
      .catch((problem: unknown) => controller.signal.aborted || setError(problem));
    return () => controller.abort();
  }, [turn.id]);
  const now = Object.values(generations).join(", ");
  const then = Object.values(answer.collection_generation).join(", ");
  return (
    <Part title={t("trace.ranks")}>
      <p class="small faint">{t("trace.ranksHelp")}</p>
      {error ? <ErrorNote error={error} /> : null}
      {hits === null && !error ? <p class="faint">{t("app.loading")}</p> : null}
      {hits !== null && hits.length === 0 ? <p class="faint">{t("trace.noHits")}</p> : null}
      {hits !== null && hits.length > 0 ? (
        <RankChart
          hits={hits}
          passages={turn.passages}
          cited={new Set(turn.citations.map((one) => one.chunk_id ?? ""))}
          onOpen={(chunk) => {
            const citation = turn.citations.find((one) => one.chunk_id === chunk);
            if (citation) openSource(citation, turn.citations);
          }}
        />
      ) : null}
      {hits !== null && kept === undefined && now !== then ? (
        <p class="small faint">{t("trace.ranksAgain", { now, then })}</p>
      ) : null}
    </Part>
  );
}

function Prompt({ stages }: { stages: Stage[] }): JSX.Element | null {
  const { t, number } = useWords();
  const { prompt, tokens, dropped } = detailOf(stages, "assemble");
  if (typeof prompt !== "string") return null;
  const left = Array.isArray(dropped) ? dropped.map(String) : [];
  return (
    <Part
      title={t("trace.prompt")}
      aside={typeof tokens === "number" ? <span class="small faint">{t("trace.promptTokens", { count: number(tokens) })}</span> : null}
    >
      <pre class="prompt" tabIndex={0}>
        {prompt}
      </pre>
      {left.length > 0 ? (
        <details>
          <summary>
            {t("trace.dropped")} ({left.length})
          </summary>
          <ul class="small">
            {left.map((reason) => (
              <li key={reason}>{reason}</li>
            ))}
          </ul>
        </details>
      ) : null}
    </Part>
  );
}

function Evidence({ turn, stages }: { turn: Turn; stages: Stage[] }): JSX.Element | null {
  const { t, number } = useWords();
  const evidence = detailOf(stages, "generate").evidence as Record<string, unknown> | undefined;
  if (evidence === undefined || evidence === null) return null;
  const mass = Array.isArray(evidence.passage_mass) ? evidence.passage_mass.map(Number) : [];
  const rows = (
    [
      ["trace.answerLogprob", evidence.answer_logprob],
      ["trace.nullLogprob", evidence.null_logprob],
      ["trace.margin", evidence.margin],
      ["trace.coverage", evidence.question_coverage],
      ["trace.runnerUp", evidence.runner_up],
    ] as const
  ).filter(([, value]) => value !== null && value !== undefined && value !== "");
  if (rows.length === 0 && mass.length === 0) return null;
  return (
    <Part title={t("trace.evidence")}>
      {mass.length > 0 ? (
        <>
          <p class="small faint">{t("trace.mass")}</p>
          <ul class="bars">
            {mass.map((share, place) => {
              const passage = turn.passages.find((one) => one.number === place + 1);
              return (
                <li key={place}>
                  <span class="clip">
                    {place + 1}. {passage?.title ?? t("trace.passageN", { n: place + 1 })}
                  </span>
                  <Meter value={share} label={`${t("trace.passageN", { n: place + 1 })}: ${number(share, 3)}`} />
                  <span class="small mono">{number(share, 3)}</span>
                </li>
              );
            })}
          </ul>
        </>
      ) : null}
      <dl class="pairs">
        {rows.map(([key, value]) => (
          <div key={key}>
            <dt>{t(key)}</dt>
            <dd>{typeof value === "number" ? number(value, 3) : String(value)}</dd>
          </div>
        ))}
      </dl>
    </Part>
  );
}

const INSIDE_RETRIEVE = new Set(["open", "embed", "dense", "lexical", "late_interaction", "fuse", "fetch"]);

function Timings({ stages, total }: { stages: Stage[]; total: number }): JSX.Element {
  const { t, number } = useWords();
  const most = Math.max(1, ...stages.map((stage) => stage.ms));
  // a stage is noted when it ends, so the whole comes after its parts; shown the other way round
  const place = stages.findIndex((stage) => INSIDE_RETRIEVE.has(stage.stage));
  const whole = stages.findIndex((stage) => stage.stage === "retrieve");
  const ordered =
    place >= 0 && whole > place
      ? [...stages.slice(0, place), stages[whole] as Stage, ...stages.slice(place, whole), ...stages.slice(whole + 1)]
      : stages;
  return (
    <Part title={t("trace.timings")} aside={<span class="small faint">{t("trace.total", { ms: number(total) })}</span>}>
      <ul class="bars">
        {ordered.map((stage, index) => (
          <li key={index} class={INSIDE_RETRIEVE.has(stage.stage) ? "inner" : ""}>
            <span class="clip mono small">{stage.stage}</span>
            <Meter value={stage.ms / most} label={`${stage.stage}: ${number(stage.ms, 1)} ms`} />
            <span class="small mono">{number(stage.ms, 1)} ms</span>
            {stage.error ? (
              <span class="small bad-text full">
                <Icon name="warn" size={14} /> {t("trace.degraded")}: {stage.error}
              </span>
            ) : null}
          </li>
        ))}
      </ul>
    </Part>
  );
}
