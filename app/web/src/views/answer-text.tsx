import type { JSX } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { renderMarkdown } from "../markdown";
import { folded } from "../match";
import { useWords } from "../text";
import type { Citation, Passage } from "../wire";

const MARKER = /\[(\d{1,3})\]/g;
/** Whether every line of an answer is copied from its sources: then an asterisk in it is an asterisk and no Markdown. */
function isCopied(text: string, sources: string[]): boolean {
  const known = sources.map(folded);
  return text
    .replace(MARKER, "")
    .split("\n")
    .map(folded)
    .every((line) => known.some((source) => source.includes(line)));
}

function withCitations(fragment: Node, known: Set<number>, label: (index: number) => string): void {
  const walker = document.createTreeWalker(fragment, NodeFilter.SHOW_TEXT);
  const nodes: Text[] = [];
  while (walker.nextNode()) nodes.push(walker.currentNode as Text);
  for (const node of nodes) {
    const parts: (Node | string)[] = [];
    let from = 0;
    for (const match of node.data.matchAll(MARKER)) {
      const index = Number(match[1]);
      if (!known.has(index)) continue;
      const button = document.createElement("button");
      button.type = "button";
      button.className = "cite";
      button.dataset.index = String(index);
      button.textContent = String(index);
      button.setAttribute("aria-label", label(index));
      parts.push(node.data.slice(from, match.index).replace(/ $/, "\u00a0"), button);
      from = match.index + match[0].length;
    }
    if (parts.length > 0) node.replaceWith(...parts, node.data.slice(from));
  }
}

/** The answer's words; each `[n]` is a button that opens source n. */
export function AnswerText(props: {
  text: string;
  citations: Citation[];
  passages: Passage[];
  onOpen: (citation: Citation) => void;
}): JSX.Element {
  const { t } = useWords();
  const box = useRef<HTMLDivElement>(null);
  const { text, citations, passages } = props;
  useLayoutEffect(() => {
    const sources = [...citations.map((one) => one.quote), ...passages.map((one) => one.text)];
    const titles = new Map<number, string>();
    for (const passage of passages) titles.set(passage.number, passage.title);
    for (const citation of citations) titles.set(citation.index, citation.title);
    let content: Node;
    if (sources.length === 0 || isCopied(text, sources)) {
      content = document.createElement("p");
      content.textContent = text;
    } else {
      content = renderMarkdown(text);
    }
    withCitations(content, new Set(citations.map((one) => one.index)), (index) =>
      t("ask.openSource", { index, title: titles.get(index) ?? "" }),
    );
    box.current?.replaceChildren(content);
  }, [text, citations, passages, t]);
  return (
    <div
      ref={box}
      class="prose answer-text"
      onClick={(event) => {
        const button = (event.target as HTMLElement).closest<HTMLElement>("button.cite");
        const citation = citations.find((one) => String(one.index) === button?.dataset.index);
        if (citation !== undefined) props.onOpen(citation);
      }}
    />
  );
}
