import { Component, render, type ComponentChildren, type JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { call, keyWanted, Problem } from "./api";
import { Icon, type IconName } from "./ui";
import { href, useRoute, VIEWS, type View } from "./router";
import { Preferences, theme } from "./preferences";
import { useStore } from "./store";
import { useWords } from "./text";
import { AskView } from "./views/ask";
import { CollectionsView } from "./views/collections";
import { DocumentsView } from "./views/documents";
import { EvaluationsView } from "./views/evaluations";
import { SettingsDialog, settingsOpen } from "./views/settings";
import { openLink, opened, SourcePanel } from "./views/source";
import { TraceView } from "./views/trace";
import "./styles/base.css";
import "./styles/shell.css";
import "./styles/views.css";

const DRAWN: Record<View, (props: { id: string }) => JSX.Element> = {
  ask: AskView,
  documents: DocumentsView,
  collections: CollectionsView,
  trace: TraceView,
  evaluations: EvaluationsView,
};

/** Keeps a view that fails to draw from taking the page with it. */
class Guard extends Component<{ children: ComponentChildren; message: string }, { failed: string }> {
  override state = { failed: "" };

  override componentDidCatch(error: unknown): void {
    this.setState({ failed: error instanceof Error ? error.message : String(error) });
  }

  override render(): ComponentChildren {
    if (this.state.failed === "") return this.props.children;
    return (
      <div class="note bad" role="alert">
        <Icon name="warn" />
        <p>
          {this.props.message} <code>{this.state.failed}</code>
        </p>
      </div>
    );
  }
}

interface Health {
  reason: string;
  idle: boolean;
}

const HEALTH_MS = 4_000;
const STARTING_CHECKS = 6; // a worker starts once the API answers: its first seconds are no news

function useHealth(): Health {
  const [health, setHealth] = useState<Health>({ reason: "", idle: false });
  useEffect(() => {
    let timer = 0;
    let alive = true;
    let without = 0;
    const look = async (): Promise<void> => {
      try {
        const ready = await call<{ workers?: number }>("GET", "/health/ready");
        if (!alive) return;
        without = ready.workers === 0 ? without + 1 : 0;
        setHealth({ reason: "", idle: without > STARTING_CHECKS });
        timer = window.setTimeout(look, HEALTH_MS);
      } catch (error) {
        if (!alive) return;
        setHealth({ reason: error instanceof Problem && error.status > 0 ? error.message : "offline", idle: false });
        timer = window.setTimeout(look, 1_500);
      }
    };
    void look();
    return () => {
      alive = false;
      clearTimeout(timer);
    };
  }, []);
  return health;
}

function App(): JSX.Element {
  const { t, language } = useWords();
  const route = useRoute();
  const health = useHealth();
  const source = useStore(opened);
  const dialog = useStore(settingsOpen);
  const wanted = useStore(keyWanted);
  const main = useRef<HTMLElement>(null);
  const shown = useRef<View>(route.view);
  const chosenTheme = useStore(theme);

  useEffect(() => {
    document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
    document.title = `${t(`nav.${route.view}`)} · Attest`;
  }, [language, route.view]);
  useEffect(() => {
    if (chosenTheme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = chosenTheme;
  }, [chosenTheme]);
  useEffect(() => {
    if (shown.current === route.view) return; // the first view does not steal the focus
    shown.current = route.view;
    opened.set(null);
    main.current?.focus({ preventScroll: true });
    scrollTo(0, 0);
  }, [route.view]);
  useEffect(() => {
    if (route.view === "documents" && route.id !== "") openLink(route.id, route.query);
  }, [route.view, route.id, route.query]);
  useEffect(() => {
    if (wanted) settingsOpen.set(true);
  }, [wanted]);

  const Current = DRAWN[route.view];
  return (
    <div class={source ? "shell with-source" : "shell"}>
      <a
        class="skip"
        href="#main"
        onClick={(event) => {
          event.preventDefault();
          main.current?.focus();
        }}
      >
        {t("app.skip")}
      </a>
      <header class="rail">
        <a class="brand" href={href("ask")} aria-label={t("app.name")}>
          <svg width="30" height="30" viewBox="0 0 32 32" aria-hidden="true" focusable="false">
            <rect class="brand-back" width="32" height="32" rx="9" />
            <path class="brand-line" d="M7 22h18" />
            <path class="brand-check" d="M9 15l4.5 4.5L23 9" />
          </svg>
          <span>{t("app.name")}</span>
        </a>
        <nav aria-label={t("app.nav")}>
          <ul>
            {VIEWS.map((view) => (
              <li key={view}>
                <a href={href(view)} aria-current={route.view === view ? "page" : undefined}>
                  <Icon name={view as IconName} />
                  <span>{t(`nav.${view}`)}</span>
                </a>
              </li>
            ))}
          </ul>
        </nav>
        <Preferences />
      </header>
      <main id="main" ref={main} tabIndex={-1} class={`view view-${route.view}`}>
        {health.reason === "offline" ? (
          <p class="banner bad" role="status">
            {t("app.offline")}
          </p>
        ) : health.reason !== "" ? (
          <p class="banner" role="status">
            {t("app.starting", { reason: health.reason })}
          </p>
        ) : health.idle ? (
          <p class="banner" role="status">
            {t("app.noWorker")}
          </p>
        ) : null}
        <Guard key={route.view} message={t("app.crash")}>
          <Current id={route.id} />
        </Guard>
      </main>
      {source ? (
        <Guard key={`${source.document_id}:${source.version}`} message={t("app.crash")}>
          <SourcePanel />
        </Guard>
      ) : null}
      {dialog ? <SettingsDialog /> : null}
    </div>
  );
}

render(<App />, document.getElementById("app") as HTMLElement);
