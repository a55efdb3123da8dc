// Loaded with the first PDF that is opened: pdf.js is larger than the rest of the page together.
import { getDocument, GlobalWorkerOptions, TextLayer, type PDFDocumentLoadingTask } from "pdfjs-dist";
import workerUrl from "pdfjs-dist/build/pdf.worker.min.mjs?url";

export { TextLayer };

interface ScriptPolicy {
  createScriptURL(url: string): string;
}
interface PolicyFactory {
  createPolicy(name: string, rules: { createScriptURL: (url: string) => string }): ScriptPolicy;
}

// The page's policy asks that script addresses be typed; this one vouches for our own worker and nothing else.
const factory = (globalThis as { trustedTypes?: PolicyFactory }).trustedTypes;
const policy = factory?.createPolicy("attest-worker", {
  createScriptURL: (url) => {
    if (url !== workerUrl) throw new TypeError(`${url} is not the worker`);
    return url;
  },
});
GlobalWorkerOptions.workerPort = new Worker(policy?.createScriptURL(workerUrl) ?? workerUrl, { type: "module" });

export function openPdf(path: string, headers: Record<string, string>): PDFDocumentLoadingTask {
  return getDocument({
    url: path,
    httpHeaders: headers,
    withCredentials: false,
    cMapUrl: new URL("/assets/pdfjs/cmaps/", location.href).href,
    cMapPacked: true,
    standardFontDataUrl: new URL("/assets/pdfjs/standard_fonts/", location.href).href,
    wasmUrl: new URL("/assets/pdfjs/wasm/", location.href).href,
    enableXfa: false,
    isEvalSupported: false,
    useSystemFonts: false,
    stopAtErrors: false,
    maxImageSize: 64 * 2 ** 20,
    verbosity: 0,
  });
}
