import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { apiKey, call } from "../api";
import type { Calibration } from "../calibration";
import { chosenCollections, routesChoose } from "../options";
import { useLoaded } from "../loading";
import { go, href } from "../router";
import { useStore } from "../store";
import { useWords } from "../text";
import { Dialog, ErrorNote, Field, IconButton } from "../ui";
import { changed } from "../uploads";
import type { Collection } from "../wire";
import { CalibrationView } from "./calibration";
import { RANKING } from "./reranker";

/** The collections of the server, read again whenever documents changed; null until the first answer. */
export function useCollections(): { collections: Collection[] | null; error: unknown } {
  const { value, error } = useLoaded(
    (signal) => call<{ data: Collection[] }>("GET", "/v1/collections", undefined, signal),
    [useStore(changed)],
  );
  return { collections: value?.data ?? null, error };
}

/** Whether routes are declared that could choose where to ask; null until the server said so. */
export function useRoutes(): boolean | null {
  const [declared, setDeclared] = useState<boolean | null>(null);
  const key = useStore(apiKey);
  useEffect(() => {
    const controller = new AbortController();
    call<{ data: { problems: string[] }[] }>("GET", "/v1/routes", undefined, controller.signal)
      .then(({ data }) => setDeclared(data.some((route) => route.problems.length === 0)))
      .catch(() => undefined); // the collections say what is wrong with the server
    return () => controller.abort();
  }, [key]);
  return declared;
}

/** Which calibration of its own serves each collection; empty until the server said so, and where it would not. */
function useServing(): { [collection: string]: Calibration } {
  const { value } = useLoaded(
    (signal) => call<{ data: Calibration[] }>("GET", "/v1/calibrations", undefined, signal),
    [useStore(changed)],
  );
  const own = (value?.data ?? []).filter((one) => one.collection !== null && one.active && !one.outdated);
  return Object.fromEntries(own.map((one) => [one.collection ?? "", one]));
}

/** All collections, or one collection's calibration and reranker where the address names it. */
export function CollectionsView({ id }: { id: string }): JSX.Element {
  return id === "" ? <AllCollections /> : <CalibrationView key={id} collection={id} />;
}

function AllCollections(): JSX.Element {
  const { t } = useWords();
  const { collections, error } = useCollections();
  const serving = useServing();
  const [doomed, setDoomed] = useState<Collection | null>(null);
  const [said, say] = useState("");
  return (
    <div class="collections">
      <h1>{t("collections.title")}</h1>
      <p class="lead">{t("collections.lead")}</p>
      {error ? <ErrorNote error={error} /> : null}
      <p class="said" role="status">
        {said}
      </p>
      {collections === null && !error ? <p class="faint">{t("app.loading")}</p> : null}
      <ul class="cards">
        {collections?.map((one) => (
          <Card key={one.name} collection={one} serving={serving[one.name] ?? null} onDelete={() => setDoomed(one)} />
        ))}
      </ul>
      <NewCollection onCreated={(name) => say(t("collections.created", { name }))} />
      {doomed ? (
        <DeleteDialog
          collection={doomed}
          onClose={() => setDoomed(null)}
          onDeleted={() => {
            say(t("collections.deleted", { name: doomed.name }));
            setDoomed(null);
            changed.update((count) => count + 1);
          }}
        />
      ) : null}
    </div>
  );
}

function Card(props: { collection: Collection; serving: Calibration | null; onDelete: () => void }): JSX.Element {
  const { t, number, bytes } = useWords();
  const { collection, serving, onDelete } = props;
  const failed = collection.by_status?.failed ?? 0;
  return (
    <li class="card">
      <div class="row">
        <h2 class="clip">{collection.name}</h2>
        <span class="spacer" />
        {collection.name === "default" ? (
          <span class="small faint">{t("collections.always")}</span>
        ) : (
          <IconButton icon="trash" size={18} label={t("collections.delete", { name: collection.name })} onClick={onDelete} />
        )}
      </div>
      {collection.description ? <p class="faint">{collection.description}</p> : null}
      <dl class="figures">
        <div>
          <dd>{number(collection.documents)}</dd>
          <dt>{t("collections.documents")}</dt>
        </div>
        <div>
          <dd>{number(collection.chunks)}</dd>
          <dt>{t("collections.passages")}</dt>
        </div>
        <div title={t("collections.generationHelp")}>
          <dd>{number(collection.generation)}</dd>
          <dt>{t("collections.generation")}</dt>
        </div>
      </dl>
      <a class="small" href={href("collections", collection.name)}>
        {serving ? t("collections.ownConfidence", { n: serving.number }) : t("collections.confidence")}
        <span class="hidden">: {collection.name}</span>
      </a>
      <a class="small" href={`${href("collections", collection.name)}?${RANKING}`}>
        {t("collections.ranking")}
        <span class="hidden">: {collection.name}</span>
      </a>
      <div class="row">
        <span class="small faint">
          {bytes(collection.bytes)}
          {failed > 0 ? <span class="bad-text"> · {t("collections.failed", { count: failed })}</span> : null}
        </span>
        <span class="spacer" />
        <button
          type="button"
          class="button quiet"
          onClick={() => {
            chosenCollections.set([collection.name]);
            routesChoose.set(false);
            go("ask");
          }}
        >
          {t("collections.askShort")}
          <span class="hidden">: {collection.name}</span>
        </button>
      </div>
    </li>
  );
}

function NewCollection({ onCreated }: { onCreated: (name: string) => void }): JSX.Element {
  const { t } = useWords();
  const [name, setName] = useState("");
  const [description, setDescription] = useState("");
  const [error, setError] = useState<unknown>(null);
  const create = async (): Promise<void> => {
    try {
      await call("POST", "/v1/collections", { name: name.trim(), description: description.trim() });
      setError(null);
      onCreated(name.trim());
      setName("");
      setDescription("");
      changed.update((count) => count + 1);
    } catch (problem) {
      setError(problem);
    }
  };
  return (
    <form
      class="group new-collection"
      onSubmit={(event) => {
        event.preventDefault();
        void create();
      }}
    >
      <h2 class="section-title">{t("collections.new")}</h2>
      <div class="pair">
        <Field label={t("collections.name")}>
          {({ id }) => (
            <input
              id={id}
              required
              maxLength={200}
              value={name}
              onInput={(event) => setName(event.currentTarget.value)}
            />
          )}
        </Field>
        <Field label={t("collections.description")}>
          {({ id }) => (
            <input
              id={id}
              maxLength={4000}
              value={description}
              onInput={(event) => setDescription(event.currentTarget.value)}
            />
          )}
        </Field>
      </div>
      {error ? <ErrorNote error={error} /> : null}
      <button type="submit" class="button" disabled={name.trim() === ""}>
        {t("collections.create")}
      </button>
    </form>
  );
}

function DeleteDialog(props: { collection: Collection; onClose: () => void; onDeleted: () => void }): JSX.Element {
  const { t } = useWords();
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const { name, documents } = props.collection;
  const remove = async (): Promise<void> => {
    setBusy(true);
    try {
      await call("DELETE", `/v1/collections/${encodeURIComponent(name)}`);
      props.onDeleted();
    } catch (problem) {
      setError(problem);
      setBusy(false);
    }
  };
  return (
    <Dialog title={t("collections.deleteTitle")} onClose={props.onClose}>
      <p>{t("collections.deleteLead", { name, count: documents })}</p>
      {error ? <ErrorNote error={error} /> : null}
      <div class="row end">
        <button type="button" class="button quiet" onClick={props.onClose}>
          {t("app.cancel")}
        </button>
        <button type="button" class="button danger" disabled={busy} onClick={() => void remove()}>
          {t("documents.deleteShort")}
        </button>
      </div>
    </Dialog>
  );
}
