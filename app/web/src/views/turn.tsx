import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { call, Problem } from "../api";
import { change, type Turn } from "../conversations";
import { href } from "../router";
import { useWords, type MessageKey } from "../text";
import { ErrorNote, Icon, IconButton, Meter } from "../ui";
import type { Answer } from "../wire";
import { AnswerText } from "./answer-text";
import { openSource } from "./source";

const STEPS: Record<string, MessageKey> = {
  translate: "ask.stage.translate",
  condense: "ask.stage.translate",
  route: "ask.stage.translate",
  construct: "ask.stage.translate",
  rerank: "ask.stage.rerank",
  assemble: "ask.stage.assemble",
};

export function confidenceKey(value: number): MessageKey {
  if (value >= 0.9) return "ask.confidence.high";
  if (value >= 0.75) return "ask.confidence.good";
  return value >= 0.5 ? "ask.confidence.fair" : "ask.confidence.low";
}

export function TurnView({ turn, latest }: { turn: Turn; latest: boolean }): JSX.Element {
  const { t } = useWords();
  const running = turn.state === "running";
  return (
    <article class="turn" aria-label={turn.question}>
      <div class="question">
        <h2 class="hidden">{t("ask.you")}</h2>
        <p>{turn.question}</p>
      </div>
      <section class="answer" aria-label={t("ask.answer")}>
        {running && turn.text === "" ? <Progress turn={turn} /> : null}
        {turn.answer?.abstained ? (
          <Refusal answer={turn.answer} />
        ) : (
          <div aria-live={latest ? "polite" : undefined} aria-busy={running}>
            <AnswerText
              text={turn.text}
              citations={turn.citations}
              passages={turn.passages}
              onOpen={(citation) => openSource(citation, turn.citations)}
            />
          </div>
        )}
        {turn.state === "stopped" ? <p class="note">{t("ask.stopped")}</p> : null}
        {turn.error ? (
          <ErrorNote
            error={
              turn.error.status === -1
                ? new Error(t("ask.interrupted"))
                : new Problem(turn.error.status, "", turn.error.detail, turn.error.requestId)
            }
          />
        ) : null}
        {turn.answer ? <Facts turn={turn} answer={turn.answer} latest={latest} /> : null}
      </section>
    </article>
  );
}

function Progress({ turn }: { turn: Turn }): JSX.Element {
  const { t } = useWords();
  let text = t("ask.stage.wait");
  if (turn.passages.length > 0) text = t("ask.stage.generate", { count: turn.passages.length });
  else if (turn.stage === "generate") text = t("ask.stage.assemble");
  else if (turn.stage !== "") text = t(STEPS[turn.stage] ?? "ask.stage.search");
  return (
    <p class="progress" role="status">
      <span class="pulse" aria-hidden="true" />
      {text}…
    </p>
  );
}

function Refusal({ answer }: { answer: Answer }): JSX.Element {
  const { t, number } = useWords();
  return (
    <div class="refusal">
      <p class="refusal-title">
        <Icon name="none" />
        <strong>{t("ask.refused")}</strong>
      </p>
      <p>{answer.answer}</p>
      {answer.threshold !== undefined && answer.threshold > 0.001 ? (
        <p class="small faint">
          {t("ask.refusedWhy", { confidence: number(answer.confidence, 2), threshold: number(answer.threshold, 2) })}
        </p>
      ) : null}
      <p class="small">{t("ask.refusedHelp")}</p>
    </div>
  );
}

function Facts({ turn, answer, latest }: { turn: Turn; answer: Answer; latest: boolean }): JSX.Element {
  const { t, number } = useWords();
  const sure = t(confidenceKey(answer.confidence));
  return (
    <>
      {answer.abstained ? null : (
        <div class="confidence">
          <Meter
            value={answer.confidence}
            threshold={answer.threshold}
            label={`${t("ask.confidence")}: ${number(answer.confidence, 2)}`}
          />
          <span>
            {sure} <span class="faint">· {number(answer.confidence, 2)}</span>
          </span>
        </div>
      )}
      {turn.citations.length > 0 ? (
        <ol class="sources" aria-label={t("ask.sources")}>
          {turn.citations.map((citation) => (
            <li key={citation.index}>
              <button type="button" class="source-card" onClick={() => openSource(citation, turn.citations)}>
                <span class="source-number">{citation.index}</span>
                <span class="source-words">
                  <span class="source-title">
                    <span class="clip">{citation.title}</span>
                    {citation.page !== null ? (
                      <span class="faint nowrap"> · {t("ask.page", { page: citation.page })}</span>
                    ) : null}
                  </span>
                  <q>{citation.quote}</q>
                </span>
              </button>
            </li>
          ))}
        </ol>
      ) : null}
      {(answer.warnings?.length ?? 0) > 0 ? (
        <details class="notes">
          <summary>{t("ask.notes")}</summary>
          <ul>
            {answer.warnings?.map((warning) => (
              <li key={warning}>{warning}</li>
            ))}
          </ul>
        </details>
      ) : null}
      {answer.route ? (
        <p class="small faint">
          {answer.route.route === null ? t("ask.routedNowhere") : t("ask.routed", { route: answer.route.route })}
        </p>
      ) : null}
      <Footer turn={turn} answer={answer} />
      {latest ? (
        <p class="hidden" role="status">
          {t("ask.done")} {answer.abstained ? t("ask.refused") : sure}
        </p>
      ) : null}
    </>
  );
}

function Footer({ turn, answer }: { turn: Turn; answer: Answer }): JSX.Element {
  const { t, number } = useWords();
  const [copied, setCopied] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const rate = async (rating: -1 | 1): Promise<void> => {
    try {
      await call("POST", "/v1/feedback", { answer_id: answer.id, rating });
      change(turn.id, { rating });
      setError(null);
    } catch (problem) {
      setError(problem);
    }
  };
  const total = answer.timings_ms.total ?? 0;
  const asked = Object.keys(answer.collection_generation);
  return (
    <footer class="answer-foot">
      <IconButton
        icon="up"
        size={18}
        label={t("ask.good")}
        pressed={turn.rating === 1}
        disabled={turn.rating === 1}
        onClick={() => void rate(1)}
      />
      <IconButton
        icon="down"
        size={18}
        label={t("ask.bad")}
        pressed={turn.rating === -1}
        disabled={turn.rating === -1}
        onClick={() => void rate(-1)}
      />
      <IconButton
        icon={copied ? "check" : "copy"}
        size={18}
        label={copied ? t("ask.copied") : t("ask.copy")}
        onClick={() => void navigator.clipboard?.writeText(answer.answer).then(() => setCopied(true))}
      />
      <a class="button quiet small" href={href("trace", turn.id)}>
        <Icon name="trace" size={18} />
        {t("ask.why")}
      </a>
      <span class="spacer" />
      <span class="small faint">
        {answer.model} · {t("ask.seconds", { seconds: number(total / 1000, 2) })}
      </span>
      {turn.rating !== 0 ? (
        <p class="small faint full" role="status">
          {t("ask.thanks")}{" "}
          {asked.length === 1 ? <a href={href("collections", asked[0])}>{t("calibration.title", { name: asked[0] ?? "" })}</a> : null}
        </p>
      ) : null}
      {error ? <ErrorNote error={error} /> : null}
    </footer>
  );
}
