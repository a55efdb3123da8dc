import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { useWords, type MessageKey } from "../text";
import type { Hit, Passage } from "../wire";

const SHOWN = 12;
const ROW = 34;
const COLUMN = 118;
const LEFT = 44;
const TOP = 44;
const RADIUS = 12;
const LABEL = 330;
const SEARCHES = ["cosine", "bm25", "late_interaction", "rrf"] as const;

type Column = (typeof SEARCHES)[number] | "rerank" | "prompt";

interface Line {
  hit: Hit;
  cited: boolean;
  ranks: (number | null)[];
}

/** Which columns took part, and each passage's rank in them (1-based; null where it was not found). */
export function linesOf(hits: Hit[], passages: Passage[], cited: Set<string>): { columns: Column[]; lines: Line[] } {
  const columns: Column[] = SEARCHES.filter((name) => hits.some((hit) => hit.ranks[name] !== undefined));
  if (hits.some((hit) => hit.scores.rerank !== null && hit.scores.rerank !== undefined)) columns.push("rerank");
  if (passages.length > 0) columns.push("prompt");
  const numbers = new Map(passages.map((passage) => [passage.chunk_id, passage.number]));
  const lines = hits
    .filter((hit) => hit.rank <= SHOWN || numbers.has(hit.chunk_id) || cited.has(hit.chunk_id))
    .map((hit) => ({
      hit,
      cited: cited.has(hit.chunk_id),
      ranks: columns.map((column) => {
        if (column === "rerank") return hit.rank;
        if (column === "prompt") return numbers.get(hit.chunk_id) ?? null;
        return hit.ranks[column] ?? null;
      }),
    }));
  return { columns, lines };
}

export function RankChart(props: {
  hits: Hit[];
  passages: Passage[];
  cited: Set<string>;
  onOpen: (chunkId: string) => void;
}): JSX.Element {
  const { t, number } = useWords();
  const { columns, lines } = linesOf(props.hits, props.passages, props.cited);
  const [chosen, choose] = useState<string | null>(null);
  const rows = Math.max(1, Math.min(SHOWN, ...[Math.max(...lines.flatMap((line) => line.ranks.map((rank) => rank ?? 0)))]));
  const below = lines.some((line) => line.ranks.some((rank) => rank !== null && rank > rows));
  const width = LEFT + COLUMN * (columns.length - 1) + RADIUS + LABEL;
  const height = TOP + ROW * (rows + (below ? 1.4 : 0)) + 6;
  const x = (column: number): number => LEFT + column * COLUMN;
  const y = (rank: number): number => TOP + (rank <= rows ? rank - 0.5 : rows + 0.7) * ROW;
  const name = (column: Column): string => t(`trace.column.${column}` as MessageKey);
  const focus = lines.find((line) => line.hit.chunk_id === chosen) ?? lines.find((line) => line.cited) ?? lines[0];
  const labelled = new Set<number>();
  return (
    <>
      <div class="chart-scroll" tabIndex={0} role="region" aria-label={t("trace.ranks")}>
        <svg
          class={chosen === null ? "ranks" : "ranks has-focus"}
          width={width}
          height={height}
          viewBox={`0 0 ${width} ${height}`}
          onPointerLeave={() => choose(null)}
        >
          {columns.map((column, place) => (
            <g key={column} aria-hidden="true">
              <text class="axis" x={x(place)} y={20} text-anchor="middle">
                {name(column)}
              </text>
              <line class="grid" x1={x(place)} x2={x(place)} y1={TOP - 8} y2={height - 4} />
            </g>
          ))}
          {lines
            .toSorted((a, b) => Number(a.cited) - Number(b.cited))
            .map((line) => {
              const points = line.ranks.flatMap((rank, place) => (rank === null ? [] : [{ place, rank }]));
              const last = points.at(-1);
              const free = last !== undefined && !labelled.has(y(last.rank)) && last.place >= columns.length - 2;
              if (free && last) labelled.add(y(last.rank));
              const says = columns.map((column, place) => `${name(column)} ${line.ranks[place] ?? t(column === "prompt" ? "trace.notRead" : "trace.notFound")}`);
              const id = line.hit.chunk_id;
              return (
                <g
                  key={id}
                  class={`rank-line ${line.cited ? "cited" : ""} ${chosen === id ? "chosen" : ""}`}
                  tabIndex={0}
                  role="img"
                  aria-label={`${line.hit.title}${line.cited ? `, ${t("trace.cited")}` : ""}: ${says.join(", ")}`}
                  onFocus={() => choose(id)}
                  onBlur={() => choose(null)}
                  onPointerEnter={() => choose(id)}
                  onClick={() => line.cited && props.onOpen(id)}
                >
                  {points.slice(1).map((point, index) => {
                    const from = points[index] as { place: number; rank: number };
                    const middle = (x(from.place) + x(point.place)) / 2;
                    return (
                      <path
                        key={point.place}
                        class={point.place - from.place > 1 ? "link skips" : "link"}
                        d={`M${x(from.place)} ${y(from.rank)}C${middle} ${y(from.rank)} ${middle} ${y(point.rank)} ${x(point.place)} ${y(point.rank)}`}
                      />
                    );
                  })}
                  {points.map((point) => (
                    <g key={point.place}>
                      <circle cx={x(point.place)} cy={y(point.rank)} r={RADIUS} />
                      <text class="rank-number" x={x(point.place)} y={y(point.rank) + 4} text-anchor="middle">
                        {point.rank}
                      </text>
                    </g>
                  ))}
                  {free && last ? (
                    <text class="rank-label" x={x(last.place) + RADIUS + 10} y={y(last.rank) + 4}>
                      {labelOf(line.hit, last.place === columns.length - 1 ? 38 : 22)}
                    </text>
                  ) : null}
                </g>
              );
            })}
        </svg>
      </div>
      {focus ? (
        <div class="rank-detail">
          <p class="small">
            <strong>{focus.hit.title}</strong>
            {focus.hit.page !== null ? <span class="faint"> · {t("ask.page", { page: focus.hit.page })}</span> : null}
            {focus.cited ? <span class="tag good">{t("trace.cited")}</span> : null}
          </p>
          <p class="small faint three-lines">{focus.hit.text}</p>
        </div>
      ) : null}
      <details>
        <summary>{t("trace.table")}</summary>
        <div class="table-scroll" tabIndex={0} role="region" aria-label={t("trace.table")}>
          <table>
            <thead>
              <tr>
                <th scope="col">{t("trace.passage")}</th>
                {columns.map((column) => (
                  <th key={column} scope="col">
                    {name(column)}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {lines.map((line) => (
                <tr key={line.hit.chunk_id}>
                  <th scope="row">
                    {labelOf(line.hit, 60)}
                    {line.cited ? <span class="tag good">{t("trace.cited")}</span> : null}
                  </th>
                  {columns.map((column, place) => {
                    const rank = line.ranks[place];
                    const score = column === "prompt" ? null : line.hit.scores[column];
                    return (
                      <td key={column}>
                        {rank === null || rank === undefined ? "–" : number(rank)}
                        {typeof score === "number" ? <span class="faint small"> {number(score, 3)}</span> : null}
                      </td>
                    );
                  })}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </details>
    </>
  );
}

/** A passage's words on one line, without the marks that make Markdown's headings, lists, quotes and front matter. */
function plainWords(text: string): string {
  return text
    .replace(/^\s*(?:#{1,6}\s+|>\s+|[-*+]\s+|-{3,}|={3,})/gm, " ")
    .replace(/\s+/g, " ")
    .trim();
}

function labelOf(hit: Hit, most: number): string {
  const page = hit.page !== null ? ` p. ${hit.page}` : "";
  const words = `${hit.title}${page}: ${plainWords(hit.text)}`;
  return words.length > most ? `${words.slice(0, most - 1)}…` : words;
}
