import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { defineConfig } from "vite";

const PDFJS = join(import.meta.dirname, "node_modules", "pdfjs-dist");
// The character maps of Chinese, Japanese and Korean PDFs that do not embed their own; the rest are of the last century.
const CMAPS =
  /^(Uni(GB|CNS|JIS|KS).*-(UCS2|UTF16)-[HV]|Adobe-(GB1|CNS1|Japan1|Korea1)-UCS2|GBK-EUC-[HV]|GBKp-EUC-[HV]|GBK2K-[HV]|GB-EUC-[HV]|ETen-B5-[HV]|90ms-RKSJ-[HV]|KSCms-UHC-[HV]|H|V|EUC-[HV])\.bcmap$/;

/** What pdf.js asks for by name while it draws: character maps and image decoders, never loaded before. */
function pdfjsFiles() {
  const emit = (context, folder, wanted) => {
    for (const name of readdirSync(join(PDFJS, folder)).sort().filter((name) => wanted.test(name))) {
      context.emitFile({
        type: "asset",
        fileName: `assets/pdfjs/${folder}/${name}`,
        source: readFileSync(join(PDFJS, folder, name)),
      });
    }
  };
  return {
    name: "pdfjs-files",
    generateBundle() {
      emit(this, "cmaps", CMAPS);
      emit(this, "standard_fonts", /\.(pfb|ttf)$/);
      emit(this, "wasm", /\.wasm$/);
    },
  };
}

/** The licences of what is bundled, in one file beside it. */
function licences() {
  return {
    name: "licences",
    generateBundle() {
      const parts = ["preact", "marked", "dompurify", "pdfjs-dist"].map((name) => {
        const folder = join(import.meta.dirname, "node_modules", name);
        const { version } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
        const file = readdirSync(folder).find((entry) => /^licen[sc]e/i.test(entry));
        return `${name} ${version}\n${"=".repeat(40)}\n${readFileSync(join(folder, file), "utf8").trim()}\n`;
      });
      for (const part of ["wasm", "standard_fonts", "cmaps"]) {
        const files = readdirSync(join(PDFJS, part)).filter((name) => name.startsWith("LICENSE")).sort();
        for (const name of files) {
          const text = readFileSync(join(PDFJS, part, name), "utf8").trim();
          parts.push(`pdf.js ${part} ${name}\n${"=".repeat(40)}\n${text}\n`);
        }
      }
      this.emitFile({ type: "asset", fileName: "assets/licences.txt", source: parts.join("\n\n") });
    },
  };
}

/** `dist/checksums.txt`: of every source and every built file, so that a test without Node sees when they part. */
function checksums() {
  const sources = ["index.html", "package.json", "package-lock.json", "tsconfig.json", "vite.config.js"];
  const below = (root, folder) =>
    readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1).replaceAll("\\", "/"));
  const line = (root, name, kind) =>
    `${createHash("sha256").update(readFileSync(join(root, name))).digest("hex")} ${kind} ${name}`;
  let out = "";
  return {
    name: "checksums",
    enforce: "post",
    configResolved(config) {
      out = resolve(config.root, config.build.outDir);
    },
    closeBundle() {
      const read = [...sources, ...below(import.meta.dirname, "src")].sort();
      const made = below(out, ".").filter((name) => name !== "checksums.txt").sort();
      const lines = [
        ...read.map((name) => line(import.meta.dirname, name, "source")),
        ...made.map((name) => line(out, name, "built")),
      ];
      writeFileSync(join(out, "checksums.txt"), `${lines.join("\n")}\n`);
    },
  };
}

export default defineConfig({
  base: "/",
  publicDir: false,
  plugins: [pdfjsFiles(), licences(), checksums()],
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    target: "es2022",
    cssTarget: ["chrome123", "firefox120", "safari17.5"],
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    sourcemap: false,
    reportCompressedSize: true,
    chunkSizeWarningLimit: 600,
  },
  server: { proxy: { "/v1": "http://127.0.0.1:8000", "/health": "http://127.0.0.1:8000" } },
});
