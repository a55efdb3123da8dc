import type { JSX } from "preact";
import { axisOf, type Gain } from "../reranker";
import { useWords, type MessageKey } from "../text";
import { Legend, sizes, Table } from "./plots";

const ROW = 34;
const FOOT = 40;
const MOST = 12;

/** nDCG@10 before and after each training, newest first: a square for what served, a dot for what was trained. */
export function GainPlot({ gains }: { gains: Gain[] }): JSX.Element | null {
  const words = useWords();
  const { t, number } = words;
  if (gains.length === 0) return null;
  const drawn = gains.slice(0, MOST);
  const { low, high } = axisOf(drawn);
  const { name: left, plot } = sizes();
  const width = left + plot + 24;
  const height = drawn.length * ROW + FOOT;
  const floor = height - FOOT;
  const x = (value: number): number => left + ((Math.min(high, Math.max(low, value)) - low) / (high - low)) * plot;
  const status = (gain: Gain): string => t(`calibration.status.${gain.version.status}` as MessageKey);
  const label = (gain: Gain): string => t("reranker.short", { n: gain.version.number });
  const signed = (value: number): string => `${value > 0 ? "+" : ""}${number(value, 3)}`;
  const title = t("reranker.history");
  return (
    <figure class="plot">
      <figcaption>{title}</figcaption>
      <p class="small faint">{t("reranker.historyHelp")}</p>
      <div class="chart-scroll" tabIndex={0} role="region" aria-label={title}>
        <svg class="gains" width={width} height={height} viewBox={`0 0 ${width} ${height}`} aria-hidden="true">
          {[low, (low + high) / 2, high].map((tick) => (
            <g key={tick}>
              <line class="grid" x1={x(tick)} x2={x(tick)} y1={0} y2={floor} />
              <text class="axis" x={x(tick)} y={floor + 17} text-anchor="middle">
                {number(tick, 2)}
              </text>
            </g>
          ))}
          <text class="axis" x={x((low + high) / 2)} y={height - 6} text-anchor="middle">
            nDCG@10
          </text>
          {drawn.map((gain, place) => {
            const y = place * ROW + ROW / 2;
            return (
              <g key={gain.version.id}>
                <text class="axis" x={left - 12} y={y + 4} text-anchor="end">
                  {label(gain)} · {status(gain)}
                </text>
                <g class="series series-1">
                  <line class="whisker" x1={x(gain.before + gain.low)} x2={x(gain.before + gain.high)} y1={y} y2={y} />
                </g>
                <g class="series series-0">
                  <rect x={x(gain.before) - 6} y={y - 6} width={12} height={12} />
                </g>
                <g class="series series-1">
                  <circle cx={x(gain.after)} cy={y} r={6} />
                </g>
              </g>
            );
          })}
        </svg>
      </div>
      <Legend rows={[{ name: t("reranker.before") }, { name: t("reranker.after") }]} />
      <Table
        caption={title}
        head={[
          t("reranker.version"),
          t("reranker.status"),
          t("reranker.before"),
          t("reranker.after"),
          t("reranker.change"),
          t("reranker.heldOut"),
          t("reranker.made"),
        ]}
      >
        {gains.map((gain) => [
          label(gain),
          status(gain),
          number(gain.before, 3),
          number(gain.after, 3),
          `${signed(gain.mean)} (${t("evaluations.interval", { low: signed(gain.low), high: signed(gain.high) })})`,
          number(gain.questions),
          words.when(gain.version.created_at ?? ""),
        ])}
      </Table>
    </figure>
  );
}
