import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { call } from "../api";
import { promised, servingOf, sidesOf, type Calibration, type Ratings } from "../calibration";
import { useLoaded } from "../loading";
import { nameOf, SHIPPED, useDoings } from "../promotions";
import { href } from "../router";
import { useWords, type MessageKey } from "../text";
import { ErrorNote, Icon } from "../ui";
import { ReliabilityPlot, type Side } from "./calibration-plots";
import { RiskPlot } from "./plots";
import { RerankerPart } from "./reranker";

interface State {
  ratings: Ratings;
  versions: Calibration[];
}

function load(collection: string, signal: AbortSignal): Promise<State> {
  const of = `collection=${encodeURIComponent(collection)}`;
  return Promise.all([
    call<Ratings>("GET", `/v1/calibrations/ratings?${of}`, undefined, signal),
    call<{ data: Calibration[] }>("GET", `/v1/calibrations?${of}`, undefined, signal),
  ]).then(([ratings, { data }]) => ({ ratings, versions: data }));
}

/** How sure answers from one collection are, what ratings say of that, and a calibration of its own; its reranker below. */
export function CalibrationView({ collection }: { collection: string }): JSX.Element {
  const { t } = useWords();
  const { value: state, error, reload } = useLoaded((signal) => load(collection, signal), [collection]);
  return (
    <div class="collections calibration">
      <a class="back" href={href("collections")}>
        <Icon name="left" size={18} /> {t("nav.collections")}
      </a>
      <h1>{t("calibration.title", { name: collection })}</h1>
      <p class="lead">{t("calibration.lead")}</p>
      {error ? <ErrorNote error={error} /> : null}
      {state === null && !error ? <p class="faint">{t("app.loading")}</p> : null}
      {state ? <Found collection={collection} state={state} reload={reload} /> : null}
      {state ? <RerankerPart collection={collection} /> : null}
    </div>
  );
}

function Found({ collection, state, reload }: { collection: string; state: State; reload: () => void }): JSX.Element {
  const words = useWords();
  const { t } = words;
  const { ratings, versions } = state;
  const serving = servingOf(versions);
  const own = versions.filter((one) => one.id !== SHIPPED);
  const [chosen, choose] = useState("");
  const { busy, said, error, train, rollBack, activate } = useDoings("calibration", collection, (well) => {
    if (well) choose("");
    reload();
  });
  const shown = chosen === SHIPPED ? undefined : (own.find((one) => one.id === chosen) ?? serving);
  const back = own.some((one) => one.status === "superseded") ? "calibration.backBefore" : "calibration.backShipped";
  const stale = own.find((one) => one.active && one.outdated);
  return (
    <>
      <section class="group" aria-label={t("calibration.state")}>
        <p>
          {t("calibration.serves")} <strong>{serving ? nameOf("calibration", serving, t) : t("calibration.shipped")}</strong>
        </p>
        {stale ? <p class="note">{t("calibration.outdated", { name: nameOf("calibration", stale, t) })}</p> : null}
        <Collected ratings={ratings} />
        <div class="row">
          <button type="button" class="button" disabled={busy || !ratings.enough} aria-describedby="calibration-needed" onClick={train}>
            {t("calibration.fit")}
          </button>
          {serving || stale ? (
            <button type="button" class="button quiet" disabled={busy} onClick={rollBack}>
              {t(back)}
            </button>
          ) : null}
        </div>
        <p class="said" role="status">
          {said}
        </p>
        {error ? <ErrorNote error={error} /> : null}
      </section>
      {own.length > 0 ? (
        <label class="inline-select wide">
          <span>{t("calibration.show")}</span>
          <select value={shown?.id ?? SHIPPED} onChange={(event) => choose(event.currentTarget.value)}>
            {own.map((one) => (
              <option key={one.id} value={one.id}>
                {nameOf("calibration", one, t)} · {t(`calibration.status.${one.status}` as MessageKey)} · {words.when(one.created_at ?? "")}
              </option>
            ))}
            <option value={SHIPPED}>{t("calibration.shippedNow")}</option>
          </select>
        </label>
      ) : null}
      <Worthy version={shown} ratings={ratings} />
      {shown && shown.promoted && !shown.active && !shown.outdated ? (
        <button type="button" class="button quiet" disabled={busy} onClick={() => activate(shown.id)}>
          {t("calibration.activate", { name: nameOf("calibration", shown, t) })}
        </button>
      ) : null}
    </>
  );
}

/** How many ratings there are, and how many a fit still needs. */
function Collected({ ratings }: { ratings: Ratings }): JSX.Element {
  const { t, number } = useWords();
  const { needed } = ratings;
  const kinds = [
    needed.right > 0 ? t("calibration.needRight", { count: needed.right }) : "",
    needed.wrong > 0 ? t("calibration.needWrong", { count: needed.wrong }) : "",
  ].filter((one) => one !== "");
  return (
    <div>
      <dl class="figures">
        <div>
          <dd>{number(ratings.rated)}</dd>
          <dt>{t("calibration.rated")}</dt>
        </div>
        <div>
          <dd>{number(ratings.right)}</dd>
          <dt>{t("calibration.right")}</dt>
        </div>
        <div>
          <dd>{number(ratings.wrong)}</dd>
          <dt>{t("calibration.wrong")}</dt>
        </div>
        <div>
          <dd>{number(ratings.unrated)}</dd>
          <dt>{t("calibration.unrated")}</dt>
        </div>
      </dl>
      {ratings.enough ? null : (
        <progress aria-label={t("calibration.collected")} value={ratings.rated} max={ratings.rated + needed.rated} />
      )}
      <p id="calibration-needed" class="small">
        {ratings.enough
          ? t("calibration.enough")
          : t("calibration.needed", { count: needed.rated }) + (kinds.length > 0 ? ` ${t("calibration.ofThem", { kinds: kinds.join(t("calibration.and")) })}` : "")}
      </p>
      {ratings.outdated > 0 ? <p class="small faint">{t("calibration.older", { count: ratings.outdated })}</p> : null}
    </div>
  );
}

/** What a version's confidence is worth, beside what it replaced; the shipped one's alone where no version is given. */
function Worthy({ version, ratings }: { version: Calibration | undefined; ratings: Ratings }): JSX.Element | null {
  const { t, number } = useWords();
  const sides: Side[] = sidesOf(version, ratings).map(({ side, worth }) => ({ name: t(`calibration.side.${side}`), worth }));
  const percent = (share: number): string => `${number(share * 100)} %`;
  const loss = version?.figures.held_out?.log_loss;
  const rows: [string, string[]][] = [
    [t("calibration.meanTold"), sides.map(({ worth }) => percent(promised(worth)))],
    [t("calibration.meanRight"), sides.map(({ worth }) => percent(1 - worth.wrong))],
    [t("calibration.error"), sides.map(({ worth }) => number(worth.calibration_error, 3))],
    [t("calibration.given"), sides.map(({ worth }) => percent(worth.given.coverage))],
    [t("calibration.givenWrong"), sides.map(({ worth }) => (worth.given.risk === null ? "–" : percent(worth.given.risk)))],
  ];
  if (loss && sides.length === 2) rows.push([t("calibration.logLoss"), [number(loss.base, 3), number(loss.trained, 3)]]);
  if (version === undefined && sides.length === 0) return null;
  return (
    <section class="trace-part" aria-label={t("calibration.worth")}>
      <h2>{t("calibration.worth")}</h2>
      {version ? (
        <p class="small">
          {t(`calibration.why.${version.status}` as MessageKey)} <span class="faint" lang="en">{version.reason}</span>
        </p>
      ) : null}
      {sides.length > 0 ? (
        <div class="table-scroll" tabIndex={0} role="region" aria-label={t("calibration.worth")}>
          <table class="compared">
            <thead>
              <tr>
                <td />
                {sides.map(({ name }) => (
                  <th key={name} scope="col">
                    {name}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {rows.map(([name, cells]) => (
                <tr key={name}>
                  <th scope="row">{name}</th>
                  {cells.map((cell, place) => (
                    <td key={place}>{cell}</td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      ) : (
        <p class="faint">{t("calibration.noPicture")}</p>
      )}
      {sides.length > 0 ? <ReliabilityPlot sides={sides} /> : null}
      <RiskPlot
        rows={sides.map(({ name, worth }) => ({ name, risk: worth.risk_coverage, at: worth.given }))}
        title={t("calibration.risk")}
        help={t("calibration.riskHelp")}
        across={t("calibration.riskX")}
      />
    </section>
  );
}
