import type { JSX } from "preact";
import { useWords } from "../text";
import type { Interval, Measured } from "../evaluation";

const BAR = 16;

interface Sizes {
  name: number;
  plot: number;
  forest: number;
  width: number;
}

/** Widths in pixels: a phone shows whole plots, without scrolling sideways, and letters as large as elsewhere. */
export function sizes(): Sizes {
  return innerWidth < 640 ? { name: 136, plot: 154, forest: 210, width: 346 } : { name: 150, plot: 420, forest: 360, width: 460 };
}

/** Horizontal bars, a group for each metric and a bar for each setting, with intervals where they are known. */
export function BarPlot(props: { title: string; rows: Measured[]; of: (row: Measured) => Record<string, Interval>; most?: number; digits: number }): JSX.Element | null {
  const { t, number } = useWords();
  const metrics = [...new Set(props.rows.flatMap((row) => Object.keys(props.of(row))))];
  if (metrics.length === 0) return null;
  const most = props.most ?? Math.max(1e-9, ...props.rows.flatMap((row) => Object.values(props.of(row)).map((one) => one.value)));
  const { name: left, plot } = sizes();
  const group = props.rows.length * (BAR + 3) + 14;
  const height = metrics.length * group + 6;
  return (
    <figure class="plot">
      <figcaption>{props.title}</figcaption>
      <div class="chart-scroll" tabIndex={0} role="region" aria-label={props.title}>
        <svg width={left + plot + 56} height={height} viewBox={`0 0 ${left + plot + 56} ${height}`} aria-hidden="true">
          {metrics.map((metric, place) => (
            <g key={metric} transform={`translate(0 ${place * group + 6})`}>
              <text class="axis" x={left - 12} y={(props.rows.length * (BAR + 3)) / 2 + 4} text-anchor="end">
                {metric}
              </text>
              {props.rows.map((row, index) => {
                const one = props.of(row)[metric];
                if (one === undefined) return null;
                const y = index * (BAR + 3);
                const x = (value: number): number => left + (Math.max(0, Math.min(most, value)) / most) * plot;
                return (
                  <g key={index} class={`series series-${index % 6}`}>
                    <rect x={left} y={y} width={Math.max(1, x(one.value) - left)} height={BAR} rx="3" />
                    {one.low !== null && one.high !== null ? (
                      <line class="whisker" x1={x(one.low)} x2={x(one.high)} y1={y + BAR / 2} y2={y + BAR / 2} />
                    ) : null}
                    <text class="value" x={x(one.high ?? one.value) + 6} y={y + BAR - 4}>
                      {number(one.value, props.digits)}
                    </text>
                  </g>
                );
              })}
            </g>
          ))}
        </svg>
      </div>
      <Legend rows={props.rows} />
      <Table caption={props.title} head={[t("evaluations.metric"), ...names(props.rows, t)]}>
        {metrics.map((metric) => [
          metric,
          ...props.rows.map((row) => {
            const one = props.of(row)[metric];
            if (one === undefined) return "–";
            const interval = one.low !== null && one.high !== null ? ` (${number(one.low, props.digits)}–${number(one.high, props.digits)})` : "";
            return number(one.value, props.digits) + interval;
          }),
        ])}
      </Table>
    </figure>
  );
}

type T = ReturnType<typeof useWords>["t"];

interface Named {
  name: string;
}

function names(rows: Named[], t: T): string[] {
  return rows.map((row, place) => row.name || t("evaluations.setting", { n: place + 1 }));
}

export function Legend({ rows }: { rows: Named[] }): JSX.Element | null {
  const { t } = useWords();
  if (rows.length < 2) return null;
  return (
    <ul class="legend">
      {names(rows, t).map((name, place) => (
        <li key={place} class={`series-${place % 6}`}>
          <span class="swatch" aria-hidden="true" />
          {name}
        </li>
      ))}
    </ul>
  );
}

export function Table(props: { caption: string; head: string[]; children: string[][]; summary?: string }): JSX.Element {
  const { t } = useWords();
  return (
    <details>
      <summary>{props.summary ?? t("trace.table")}</summary>
      <div class="table-scroll" tabIndex={0} role="region" aria-label={props.caption}>
        <table>
          <thead>
            <tr>
              {props.head.map((name, place) => (
                <th key={place} scope="col">
                  {name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {props.children.map((row) => (
              <tr key={row[0]}>
                {row.map((cell, place) => (place === 0 ? <th key={place} scope="row">{cell}</th> : <td key={place}>{cell}</td>))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </details>
  );
}

const HEIGHT = 240;
const MARGIN = 44;

interface Curve extends Named {
  risk: { coverage: number; risk: number }[];
  /** Where the threshold cuts today. */
  at?: { coverage: number; risk: number | null };
}

/** Risk over coverage: how many answers are wrong as more questions are answered. */
export function RiskPlot(props: { rows: Curve[]; title?: string; help?: string; across?: string }): JSX.Element | null {
  const { t, number } = useWords();
  const { rows, title = t("evaluations.risk"), across = t("evaluations.riskX") } = props;
  const drawn = rows.filter((row) => row.risk.length > 1);
  if (drawn.length === 0) return null;
  const { width } = sizes();
  const most = Math.max(0.05, ...drawn.flatMap((row) => row.risk.map((point) => point.risk)));
  const x = (coverage: number): number => MARGIN + coverage * (width - MARGIN - 10);
  const y = (risk: number): number => HEIGHT - MARGIN - (risk / most) * (HEIGHT - MARGIN - 14);
  return (
    <figure class="plot">
      <figcaption>{title}</figcaption>
      {props.help ? <p class="small faint">{props.help}</p> : null}
      <div class="chart-scroll" tabIndex={0} role="region" aria-label={title}>
        <svg width={width} height={HEIGHT} viewBox={`0 0 ${width} ${HEIGHT}`} aria-hidden="true">
          <line class="grid" x1={x(0)} x2={x(1)} y1={y(0)} y2={y(0)} />
          <line class="grid" x1={x(0)} x2={x(0)} y1={y(0)} y2={y(most)} />
          {[0, 0.5, 1].map((tick) => (
            <text key={tick} class="axis" x={x(tick)} y={HEIGHT - MARGIN + 18} text-anchor="middle">
              {number(tick, 1)}
            </text>
          ))}
          <text class="axis" x={MARGIN - 6} y={y(most) + 4} text-anchor="end">
            {number(most, 2)}
          </text>
          <text class="axis" x={x(0.5)} y={HEIGHT - 8} text-anchor="middle">
            {across}
          </text>
          <text class="axis" x={x(0) + 8} y={16}>
            {t("evaluations.riskY")}
          </text>
          {drawn.map((row) => (
            <polyline
              key={rows.indexOf(row)}
              class={`series-line series-${rows.indexOf(row) % 6} dash-${rows.indexOf(row) % 3}`}
              points={row.risk.map((point) => `${x(point.coverage)},${y(point.risk)}`).join(" ")}
            />
          ))}
          {drawn.map((row) =>
            row.at && row.at.risk !== null ? (
              <g key={rows.indexOf(row)} class={`series series-${rows.indexOf(row) % 6}`}>
                <circle class="cut" cx={x(row.at.coverage)} cy={y(row.at.risk)} r="6" />
              </g>
            ) : null,
          )}
        </svg>
      </div>
      <Legend rows={rows} />
      {drawn.map((row) => (
        <Table
          key={rows.indexOf(row)}
          caption={`${title} ${row.name}`}
          summary={drawn.length > 1 ? `${t("trace.table")}: ${row.name}` : undefined}
          head={[across, t("evaluations.riskY")]}
        >
          {row.risk.map((point) => [number(point.coverage, 3), number(point.risk, 3)])}
        </Table>
      ))}
    </figure>
  );
}

const ROW = 22;

/** Each metric's difference from the first setting: a bar from the line of no difference, hollow where the interval holds 0. */
export function DifferencePlot({ rows, hide }: { rows: Measured[]; hide: string }): JSX.Element | null {
  const { t, number } = useWords();
  const compared = rows.map((row, place) => ({ row, place })).filter(({ row }) => Object.keys(row.difference).length > 0);
  if (compared.length === 0) return null;
  const all = [...new Set(compared.flatMap(({ row }) => Object.keys(row.difference)))];
  const drawn = all.filter((metric) => metric !== hide);
  const ends = compared.flatMap(({ row }) =>
    drawn.flatMap((metric) => {
      const one = row.difference[metric];
      return one ? [one.value, one.low ?? one.value, one.high ?? one.value] : [];
    }),
  );
  const { name: left, forest } = sizes();
  const most = Math.max(0.01, ...ends.map(Math.abs));
  const x = (value: number): number => left + forest / 2 + (value / most) * (forest / 2 - 12);
  const group = compared.length * ROW + 10;
  const height = drawn.length * group + 26;
  const signed = (value: number, metric: string): string => `${value > 0 ? "+" : ""}${number(value, metric === hide ? 1 : 3)}`;
  const title = t("evaluations.difference", { name: names(rows, t)[0] ?? "" });
  return (
    <figure class="plot">
      <figcaption>{title}</figcaption>
      {drawn.length > 0 ? (
        <div class="chart-scroll" tabIndex={0} role="region" aria-label={title}>
          <svg class="forest" width={left + forest + 10} height={height} viewBox={`0 0 ${left + forest + 10} ${height}`} aria-hidden="true">
            <line class="grid" x1={x(0)} x2={x(0)} y1={0} y2={height - 20} />
            <text class="axis" x={x(0)} y={height - 6} text-anchor="middle">
              {t("evaluations.nothing")}
            </text>
            <text class="axis" x={x(-most)} y={height - 6} text-anchor="middle">
              {number(-most, 2)}
            </text>
            <text class="axis" x={x(most)} y={height - 6} text-anchor="middle">
              +{number(most, 2)}
            </text>
            {drawn.map((metric, place) => (
              <g key={metric} transform={`translate(0 ${place * group + 8})`}>
                <text class="axis" x={left - 12} y={(compared.length * ROW) / 2 + 4} text-anchor="end">
                  {metric}
                </text>
                {compared.map(({ row, place: series }, index) => {
                  const one = row.difference[metric];
                  if (one === undefined) return null;
                  const y = index * ROW + ROW / 2;
                  return (
                    <g key={series} class={`series series-${series % 6}`}>
                      <rect
                        class={one.significant ? "bar" : "bar open"}
                        x={Math.min(x(0), x(one.value))}
                        y={y - 6}
                        width={Math.max(1, Math.abs(x(one.value) - x(0)))}
                        height="12"
                      />
                      <line class="whisker" x1={x(one.low ?? one.value)} x2={x(one.high ?? one.value)} y1={y} y2={y} />
                    </g>
                  );
                })}
              </g>
            ))}
          </svg>
        </div>
      ) : null}
      <Legend rows={rows} />
      <Table caption={title} head={[t("evaluations.metric"), ...compared.map(({ place }) => names(rows, t)[place] ?? "")]}>
        {all.map((metric) => [
          metric,
          ...compared.map(({ row }) => {
            const one = row.difference[metric];
            if (one === undefined) return "–";
            const interval =
              one.low !== null && one.high !== null
                ? ` (${t("evaluations.interval", { low: signed(one.low, metric), high: signed(one.high, metric) })})`
                : "";
            return signed(one.value, metric) + interval;
          }),
        ])}
      </Table>
    </figure>
  );
}
