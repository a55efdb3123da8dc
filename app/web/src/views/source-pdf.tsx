import type { PDFDocumentProxy } from "pdfjs-dist";
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { authorization, contentPath } from "../api";
import { markQuote } from "../match";
import { useWords } from "../text";
import { IconButton } from "../ui";
import type { Place } from "./source";
import { show } from "./source-text";

const ZOOMS = [0.6, 0.8, 1, 1.25, 1.6, 2, 2.6];
const FIT = 2;
const MOST_PIXELS = 24_000_000;

/** A PDF, one page at a time, as pdf.js draws it; the cited sentence is marked on its page. */
export function PdfPages(props: { id: string; version: number; page: number | null; place: Place | null }): JSX.Element {
  const { t } = useWords();
  const { id, version } = props;
  const [pdf, setPdf] = useState<PDFDocumentProxy | null>(null);
  const [failed, setFailed] = useState("");
  const [page, setPage] = useState(props.page ?? 1);
  const [zoom, setZoom] = useState(FIT);

  useEffect(() => {
    let alive = true;
    let close = (): void => undefined;
    setPdf(null);
    setFailed("");
    import("../pdfjs")
      .then(({ openPdf }) => {
        if (!alive) return undefined;
        const task = openPdf(contentPath(id, version), authorization());
        close = () => void task.destroy();
        return task.promise.then((opened) => alive && setPdf(opened));
      })
      .catch((problem: unknown) => alive && setFailed(problem instanceof Error ? problem.message : String(problem)));
    return () => {
      alive = false;
      close();
    };
  }, [id, version]);
  useEffect(() => setPage(props.page ?? 1), [props.page, props.place?.start]);

  if (failed !== "") {
    return (
      <p class="note" role="status">
        {t("source.pdfFailed", { reason: failed })}
      </p>
    );
  }
  if (pdf === null) {
    return (
      <p class="source-wait faint" role="status">
        {t("app.loading")}
      </p>
    );
  }
  const number = Math.max(1, Math.min(page, pdf.numPages));
  const cited = props.page === number ? props.place : null;
  return (
    <>
      <div class="pdf-bar">
        <IconButton icon="left" label={t("source.previousPage")} disabled={number <= 1} onClick={() => setPage(number - 1)} />
        <span class="small" aria-live="polite">
          {t("source.pageOf", { page: number, pages: pdf.numPages })}
        </span>
        <IconButton
          icon="right"
          label={t("source.nextPage")}
          disabled={number >= pdf.numPages}
          onClick={() => setPage(number + 1)}
        />
        <span class="spacer" />
        {props.page !== null && props.page !== number ? (
          <button type="button" class="link small" onClick={() => setPage(props.page as number)}>
            {t("source.backToQuote")}
          </button>
        ) : null}
        <IconButton icon="minus" label={t("source.zoomOut")} disabled={zoom === 0} onClick={() => setZoom(zoom - 1)} />
        <IconButton
          icon="add"
          label={t("source.zoomIn")}
          disabled={zoom === ZOOMS.length - 1}
          onClick={() => setZoom(zoom + 1)}
        />
      </div>
      <PdfPage key={`${number}:${zoom}`} pdf={pdf} number={number} zoom={ZOOMS[zoom] as number} place={cited} />
    </>
  );
}

function PdfPage(props: { pdf: PDFDocumentProxy; number: number; zoom: number; place: Place | null }): JSX.Element {
  const { t } = useWords();
  const box = useRef<HTMLDivElement>(null);
  const paper = useRef<HTMLDivElement>(null);
  const [state, setState] = useState<"" | "found" | "partly" | "notFound" | "drawn">("");
  const [failed, setFailed] = useState("");
  const { pdf, number, zoom, place } = props;

  useEffect(() => {
    let alive = true;
    let cancel = (): void => undefined;
    const draw = async (): Promise<void> => {
      const { TextLayer } = await import("../pdfjs");
      const page = await pdf.getPage(number);
      if (!alive || box.current === null || paper.current === null) return;
      const plain = page.getViewport({ scale: 1 });
      const width = Math.max(240, box.current.clientWidth - 32);
      const scale = (width / plain.width) * zoom;
      const viewport = page.getViewport({ scale });
      const sharp = Math.min(devicePixelRatio || 1, 2, Math.sqrt(MOST_PIXELS / (viewport.width * viewport.height)));
      const sheet = paper.current;
      const canvas = document.createElement("canvas");
      canvas.width = Math.floor(viewport.width * sharp);
      canvas.height = Math.floor(viewport.height * sharp);
      const layer = document.createElement("div");
      layer.className = "textLayer";
      sheet.style.width = `${viewport.width}px`;
      sheet.style.height = `${viewport.height}px`;
      sheet.style.setProperty("--total-scale-factor", String(scale));
      sheet.style.setProperty("--scale-round-x", "1px");
      sheet.style.setProperty("--scale-round-y", "1px");
      sheet.replaceChildren(canvas, layer);
      const drawing = page.render({ canvas, viewport, transform: sharp === 1 ? undefined : [sharp, 0, 0, sharp, 0, 0] });
      const text = new TextLayer({
        textContentSource: await page.getTextContent({ disableNormalization: true }),
        container: layer,
        viewport,
      });
      cancel = () => {
        drawing.cancel();
        text.cancel();
      };
      await Promise.all([drawing.promise, text.render()]);
      if (!alive) return;
      if (place === null) {
        setState("drawn");
        return;
      }
      const { marks, whole } = markQuote(layer, place.quote, place.before, place.after);
      setState(marks.length === 0 ? "notFound" : whole ? "found" : "partly");
      show(marks[0]);
    };
    draw().catch((problem: unknown) => alive && setFailed(problem instanceof Error ? problem.message : String(problem)));
    return () => {
      alive = false;
      cancel();
    };
  }, [pdf, number, zoom, place?.start, place?.end]);

  return (
    <div class="source-body pdf" ref={box} tabIndex={0} role="region" aria-label={t("source.region")}>
      {failed !== "" ? <p class="note">{t("source.pdfFailed", { reason: failed })}</p> : null}
      {state === "partly" || state === "notFound" ? (
        <p class="note" role="status">
          {t(`source.${state}`)}
        </p>
      ) : null}
      <div ref={paper} class="paper" data-page={number} data-state={state} />
      {state === "found" ? (
        <p class="hidden" role="status">
          {t("source.found")}
        </p>
      ) : null}
    </div>
  );
}
