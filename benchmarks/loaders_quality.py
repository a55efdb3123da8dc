"""Loaders and chunking on real files: what is read, what is refused and why, words kept, main text of web pages, speed.

    python -m benchmarks.loaders_quality --data DIR [--only html|formats|pdf|robust]

DIR holds `files/*.tar.gz` (folders `sources/` with `groundtruth/NAME.md` beside them; PDFs whose path has `sec-10-q`)
and `docparse/article_extraction*.jsonl.gz` (rows with `html`, `text`). A `text/raw_samples/` beside DIR is read too.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import tarfile
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from app.errors import AttestError, UnreadableDocument
from app.types import LoadedDocument
from ingestion.chunking import chunk
from ingestion.loaders import LoadLimits, load

_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W_]+")
_MARKUP = re.compile(r"<!--.*?-->|!\[[^\]]*\]\([^)]*\)|\]\([^)]*\)|data:image/[^)\s]+", re.S)
_TOKEN = re.compile(r"\w+|[^\w\s]")


def count_tokens(texts: Sequence[str]) -> list[int]:
    """Words and marks: a stand-in for the tokenizer, so that only loading and chunking are measured."""
    return [len(_TOKEN.findall(text)) for text in texts]


def words(text: str) -> Counter[str]:
    """Lower-case words; a CJK character is one."""
    return Counter(_WORD.findall(text.lower()))


def recall(found: Counter[str], wanted: Counter[str]) -> float:
    """Share of the wanted words that were found, counted with repetitions."""
    return (found & wanted).total() / max(1, wanted.total())


def checked_chunks(document: LoadedDocument) -> int:
    """Number of chunks, after checking that spans equal texts and that every visible character is in a chunk."""
    chunks = chunk(document, max_tokens=220, overlap_tokens=32, count_tokens=count_tokens)
    covered = 0
    for piece in chunks:
        if document.text[piece.char_start : piece.char_end] != piece.text:
            raise AssertionError(f"chunk {piece.ordinal} is not its span")
        if document.text[covered : max(covered, piece.char_start)].strip():
            raise AssertionError(f"text before chunk {piece.ordinal} is in no chunk")
        covered = max(covered, piece.char_end)
    if document.text[covered:].strip():
        raise AssertionError("the end of the text is in no chunk")
    return len(chunks)


def files_of(root: Path) -> Iterator[Path]:
    yield from sorted(path for path in root.rglob("*") if path.is_file())


def robustness(roots: Sequence[Path], limits: LoadLimits) -> None:
    """Every file through load and chunk; a library's error inside a `corrupt` one is named, for it may be our fault."""
    outcomes: Counter[str] = Counter()
    for root in roots:
        for path in files_of(root):
            try:
                document = load(path, filename=path.name, media_type=None, limits=limits)
                checked_chunks(document)
                outcomes[f"ok {document.media_type}"] += 1
            except AttestError as error:
                outcomes[f"{type(error).__name__} {error.code}"] += 1
                if isinstance(error, UnreadableDocument):
                    print(
                        f"  {path.name}: {error.code}: {error.message[:110]} (cause: {type(error.__cause__).__name__})"
                    )
    for name, count in outcomes.most_common():
        print(f"  {count:5d}  {name}")


def formats(root: Path, limits: LoadLimits) -> None:
    """Word recall and precision per folder of sources against the Markdown that another tool made of them."""
    scores: dict[str, list[tuple[float, float, str]]] = defaultdict(list)
    for reference in sorted(root.rglob("groundtruth/*.md")):
        source = reference.parent.parent / "sources" / reference.stem
        if not source.is_file():
            continue
        wanted = words(_MARKUP.sub(" ", reference.read_text("utf-8", "replace")))
        if wanted.total() < 5:
            continue
        try:
            document = load(source, filename=source.name, media_type=None, limits=limits)
        except AttestError:
            continue
        found = words(document.text)
        kept, exact = recall(found, wanted), recall(wanted, found)
        scores[reference.parent.parent.name].append((kept, exact, source.name))
    for folder, rows in sorted(scores.items()):
        worst = min(rows)
        print(
            f"  {folder:12s} n={len(rows):3d}  word recall {sum(row[0] for row in rows) / len(rows):.3f}  "
            f"precision {sum(row[1] for row in rows) / len(rows):.3f}  lowest {worst[0]:.2f} {worst[2]}"
        )


def main_text(path: Path, folder: Path, limits: LoadLimits) -> None:
    """F1 of word overlap between the loaded page and the article that a person marked."""
    scores = []
    seconds = 0.0
    page = folder / "page.html"
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            page.write_text(row["html"], "utf-8")
            wanted = words(row["text"])
            started = time.perf_counter()
            try:
                found = words(load(page, filename="page.html", media_type="text/html", limits=limits).text)
            except AttestError:
                found = Counter()
            seconds += time.perf_counter() - started
            precision, kept = recall(wanted, found), recall(found, wanted)
            scores.append((2 * precision * kept / (precision + kept) if precision + kept else 0.0, precision, kept))
    means = [sum(column) / len(scores) for column in zip(*scores, strict=True)]
    print(f"  {len(scores)} pages: F1 {means[0]:.3f}  precision {means[1]:.3f}  recall {means[2]:.3f}", end="  ")
    print(f"{1000 * seconds / len(scores):.0f} ms a page; {sum(score[0] < 0.5 for score in scores)} pages under .5")


def pdf_speed(root: Path, limits: LoadLimits) -> None:
    """CPU seconds for loading and for chunking, per page, on the long PDFs."""
    pages = chunks = 0
    loading = chunking = 0.0
    for path in files_of(root):
        if path.suffix != ".pdf" or "sec-10-q" not in str(path):
            continue
        started = time.process_time()
        document = load(path, filename=path.name, media_type=None, limits=limits)
        loaded = time.process_time()
        chunks += checked_chunks(document)
        chunking += time.process_time() - loaded
        loading += loaded - started
        pages += len(document.pages)
    if pages:
        print(
            f"  {pages} pages, {chunks} chunks; for 300 pages: loading {300 * loading / pages:.2f} s, chunking "
            f"{300 * chunking / pages:.2f} s of CPU"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--only", choices=("html", "formats", "pdf", "robust"))
    parser.add_argument("--no-ocr", action="store_true")
    options = parser.parse_args()
    limits = LoadLimits(ocr=not options.no_ocr)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for archive in sorted((options.data / "files").glob("*.tar.gz")):
            with tarfile.open(archive) as tar:
                tar.extractall(folder / archive.name.removesuffix(".tar.gz"), filter="data")
        if options.only in (None, "html"):
            for path in sorted((options.data / "docparse").glob("article_extraction*.jsonl.gz")):
                print(f"main text of web pages ({path.name})")
                main_text(path, folder, limits)
                (folder / "page.html").unlink()
        if options.only in (None, "formats"):
            print("words kept, by format")
            formats(folder, limits)
        if options.only in (None, "pdf"):
            print("long PDFs")
            pdf_speed(folder, limits)
        if options.only in (None, "robust"):
            print("every file through load and chunk")
            samples = options.data.parent / "text" / "raw_samples"
            robustness([folder, *([samples] if samples.is_dir() else [])], limits)


if __name__ == "__main__":
    main()
