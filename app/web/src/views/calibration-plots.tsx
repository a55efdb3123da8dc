import type { JSX } from "preact";
import type { Worth } from "../calibration";
import { useWords } from "../text";
import { Legend, sizes, Table } from "./plots";

export interface Side {
  name: string;
  worth: Worth;
}

const MARGIN = 44;
const END = 14;
const TICKS = [0, 0.25, 0.5, 0.75, 1];

/** How often answers were right at each confidence; on the dashed line a confidence means what it says. */
export function ReliabilityPlot({ sides }: { sides: Side[] }): JSX.Element {
  const { t, number } = useWords();
  const width = Math.min(380, sizes().width);
  const span = width - MARGIN - END;
  const x = (share: number): number => MARGIN + share * span;
  const y = (share: number): number => END + (1 - share) * span;
  const height = width + 4;
  const most = Math.max(1, ...sides.flatMap(({ worth }) => worth.reliability.map((bin) => bin.count)));
  const title = t("calibration.reliability");
  return (
    <figure class="plot">
      <figcaption>{title}</figcaption>
      <p class="small faint">{t("calibration.reliabilityHelp")}</p>
      <div class="chart-scroll" tabIndex={0} role="region" aria-label={title}>
        <svg class="reliability" width={width} height={height} viewBox={`0 0 ${width} ${height}`} aria-hidden="true">
          {TICKS.map((tick) => (
            <g key={tick}>
              <line class="grid" x1={x(0)} x2={x(1)} y1={y(tick)} y2={y(tick)} />
              <text class="axis" x={x(tick)} y={y(0) + 17} text-anchor="middle">
                {number(tick * 100)}
              </text>
              {tick > 0 ? (
                <text class="axis" x={MARGIN - 6} y={y(tick) + 4} text-anchor="end">
                  {number(tick * 100)}
                </text>
              ) : null}
            </g>
          ))}
          <line class="diagonal" x1={x(0)} y1={y(0)} x2={x(1)} y2={y(1)} />
          <text class="axis" x={x(0.5)} y={height - 6} text-anchor="middle">
            {t("calibration.told")} (%)
          </text>
          <text class="axis" x={x(0) + 8} y={y(1) + 14}>
            {t("calibration.wasRight")} (%)
          </text>
          {sides.map(({ name, worth }, place) => (
            <g key={name} class={`series series-${place} shape-${place}`}>
              <polyline
                class={`series-line dash-${place}`}
                points={worth.reliability.map((bin) => `${x(bin.confidence)},${y(bin.right)}`).join(" ")}
              />
              {worth.reliability.map((bin) => {
                const radius = 3 + 5 * Math.sqrt(bin.count / most);
                return (
                  <g key={bin.low}>
                    <line class="whisker" x1={x(bin.confidence)} x2={x(bin.confidence)} y1={y(bin.right_low)} y2={y(bin.right_high)} />
                    {place === 0 && sides.length > 1 ? (
                      <rect x={x(bin.confidence) - radius} y={y(bin.right) - radius} width={2 * radius} height={2 * radius} />
                    ) : (
                      <circle cx={x(bin.confidence)} cy={y(bin.right)} r={radius} />
                    )}
                  </g>
                );
              })}
            </g>
          ))}
        </svg>
      </div>
      <Legend rows={sides} />
      {sides.map(({ name, worth }) => (
        <Table
          key={name}
          caption={`${title}: ${name}`}
          summary={sides.length > 1 ? `${t("trace.table")}: ${name}` : undefined}
          head={[t("calibration.told"), t("calibration.answers"), t("calibration.wasRight"), t("calibration.interval")]}
        >
          {worth.reliability.map((bin) => [
            `${number(bin.confidence * 100)} %`,
            number(bin.count),
            `${number(bin.right * 100)} %`,
            `${number(bin.right_low * 100)} – ${number(bin.right_high * 100)} %`,
          ])}
        </Table>
      ))}
    </figure>
  );
}
