import type { JSX } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { renderMarkdown } from "../markdown";
import { markQuote } from "../match";
import { useWords } from "../text";
import type { Place } from "./source";

const WINDOW_CHARS = 40_000;
const MOST_MARKDOWN_CHARS = 300_000;

/** A document's text with the cited sentence highlighted and in view; Markdown is rendered. */
export function RenderedText(props: { text: string; place: Place | null; markdown: boolean }): JSX.Element {
  const { text, place, markdown } = props;
  return markdown && text.length <= MOST_MARKDOWN_CHARS ? (
    <MarkdownText key={place?.start} text={text} place={place} />
  ) : (
    <PlainText key={place?.start} text={text} place={place} />
  );
}

function MarkdownText({ text, place }: { text: string; place: Place | null }): JSX.Element {
  const { t } = useWords();
  const box = useRef<HTMLDivElement>(null);
  const [state, setState] = useState<"found" | "partly" | "notFound" | "none">("none");
  useLayoutEffect(() => {
    const container = box.current;
    if (container === null) return;
    container.replaceChildren(renderMarkdown(text));
    if (place === null) return;
    const { marks, whole } = markQuote(container, place.quote, place.before, place.after);
    setState(marks.length === 0 ? "notFound" : whole ? "found" : "partly");
    show(marks[0]);
  }, [text, place?.start, place?.end]);
  if (state === "notFound" || state === "partly") return <PlainText text={text} place={place} />;
  return (
    <div class="source-body" tabIndex={0} role="region" aria-label={t("source.region")}>
      <div ref={box} class="prose" />
      {state === "found" ? (
        <p class="hidden" role="status">
          {t("source.found")}
        </p>
      ) : null}
    </div>
  );
}

function PlainText({ text, place }: { text: string; place: Place | null }): JSX.Element {
  const { t } = useWords();
  const center = place ?? { start: 0, end: 0 };
  const [from, setFrom] = useState(() => safeCut(text, center.start - WINDOW_CHARS));
  const [to, setTo] = useState(() => safeCut(text, center.end + WINDOW_CHARS));
  const mark = useRef<HTMLElement>(null);
  useEffect(() => show(mark.current), []);
  return (
    <div class="source-body" tabIndex={0} role="region" aria-label={t("source.region")}>
      {from > 0 ? (
        <button type="button" class="button quiet" onClick={() => setFrom(safeCut(text, from - WINDOW_CHARS))}>
          {t("source.earlier")}
        </button>
      ) : null}
      <div class="plain">
        {place === null ? (
          text.slice(from, to)
        ) : (
          <>
            {text.slice(from, place.start)}
            <mark ref={mark}>{text.slice(place.start, place.end)}</mark>
            {text.slice(place.end, to)}
          </>
        )}
      </div>
      {to < text.length ? (
        <button type="button" class="button quiet" onClick={() => setTo(safeCut(text, to + WINDOW_CHARS))}>
          {t("source.later")}
        </button>
      ) : null}
      {place !== null ? (
        <p class="hidden" role="status">
          {t("source.found")}
        </p>
      ) : null}
    </div>
  );
}

/** `index` within the text, never in the middle of a character. */
function safeCut(text: string, index: number): number {
  const inside = Math.max(0, Math.min(text.length, index));
  const unit = text.charCodeAt(inside);
  return unit >= 0xdc00 && unit < 0xe000 ? inside - 1 : inside;
}

/** Brings a highlight into the upper part of its scrolling panel, and moves nothing around it. */
export function show(mark: HTMLElement | null | undefined): void {
  const panel = mark?.closest<HTMLElement>(".source-body");
  if (mark == null || panel == null) return;
  const from = panel.getBoundingClientRect();
  const at = mark.getBoundingClientRect();
  panel.scrollTop += at.top - from.top - panel.clientHeight / 3;
  if (at.right > from.right || at.left < from.left) panel.scrollLeft += at.left - from.left - 24;
}
