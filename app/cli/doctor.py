"""`attest doctor`: what is configured, what is missing, and the remedy; exit code 1 when something must be mended."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import typer

from app.cli.serve import HomeOption
from app.errors import AttestError

if TYPE_CHECKING:
    from app.protocols import Encoder
    from app.settings import Settings

LOW_DISK_BYTES = 2**30


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. `remedy` is empty when all is well; a "note" is worth knowing and fails nothing."""

    name: str
    verdict: Literal["ok", "note", "problem"]
    detail: str
    remedy: str = ""


def doctor(home: HomeOption = None) -> None:
    """Look for what is missing or broken, and say how to mend it."""
    failed = False
    for finding in examine(home):
        print(f"{finding.verdict:<8} {finding.name}: {finding.detail}")
        if finding.remedy:
            print(f"{'':<8}   → {finding.remedy}")
        failed = failed or finding.verdict == "problem"
    raise typer.Exit(1 if failed else 0)


def examine(home: HomeOption = None) -> Iterator[Finding]:
    """Every finding, in the order in which they build on one another; stops where nothing more can be said."""
    from app.settings import load_settings
    from app.telemetry import configure_logging

    yield _python()
    yield from _packages()
    yield _libgomp()
    yield _tesseract()
    try:
        settings = load_settings(home=home)
    except AttestError as error:
        yield Finding("settings", "problem", error.message, "correct the name or the value")
        return
    configure_logging("ERROR")
    yield _attempt("home", lambda: _home(settings))
    encoder: list[Encoder] = []
    yield _attempt("encoder", lambda: _encoder(settings, encoder))
    yield _attempt("reader", lambda: _reader(settings))
    yield _attempt("reranker", lambda: _reranker(settings))
    if not (settings.home / "attest.db").exists():
        yield Finding("documents", "note", "none yet", "attest ingest PATH")
        return
    yield _attempt("jobs", lambda: _jobs(settings))
    if encoder:
        yield from _indexes(settings, encoder[0])


def _attempt(name: str, look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except AttestError as error:
        return Finding(name, "problem", error.message, "do what the message says, then run `attest doctor` again")
    except Exception as error:  # noqa: BLE001 - a doctor reports what it can not explain
        return Finding(name, "problem", f"{type(error).__name__}: {error}", "reinstall with `make clean run`")


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if (3, 11) <= sys.version_info[:2] <= (3, 12):
        return Finding("python", "ok", version)
    return Finding("python", "problem", f"{version} is not 3.11 or 3.12", "make clean run PYTHON=python3.11")


def _packages() -> Iterator[Finding]:
    from importlib.metadata import PackageNotFoundError, requires, version

    from packaging.requirements import Requirement

    try:
        wanted = [Requirement(line) for line in requires("attest-rag") or ()]
    except PackageNotFoundError:
        yield Finding("packages", "problem", "Attest itself is not installed", "pip install -c constraints.txt -e .")
        return
    sound = 0
    for package in wanted:
        if package.marker is not None and not package.marker.evaluate({"extra": ""}):
            continue
        remedy = f"pip install -c constraints.txt '{package}'"
        try:
            installed = version(package.name)
        except PackageNotFoundError:
            yield Finding("packages", "problem", f"{package.name} is missing", remedy)
            continue
        if not package.specifier.contains(installed, prereleases=True):
            yield Finding("packages", "problem", f"{package.name} {installed} is not {package.specifier}", remedy)
            continue
        sound += 1
    yield Finding("packages", "ok", f"{sound} of the required ones are installed in a version that fits")


def _libgomp() -> Finding:
    if sys.platform != "linux":
        return Finding("libgomp", "ok", "comes with the wheels on this system")
    try:
        ctypes.CDLL("libgomp.so.1")
    except OSError as error:
        return Finding("libgomp", "problem", str(error), "Debian: apt-get install libgomp1")
    return Finding("libgomp", "ok", "libgomp.so.1 loads")


def _tesseract() -> Finding:
    remedy = "Debian: apt-get install tesseract-ocr tesseract-ocr-chi-sim"
    if shutil.which("tesseract") is None:
        return Finding("tesseract", "note", "not installed: scanned pages and images are refused", remedy)
    listed = subprocess.run(["tesseract", "--list-langs"], capture_output=True, text=True, timeout=30, check=False)
    languages = set(listed.stdout.split())
    missing = sorted({"eng", "chi_sim"} - languages)
    if missing:
        return Finding("tesseract", "note", f"has no data for {', '.join(missing)}", remedy)
    return Finding("tesseract", "ok", "installed, with English and Simplified Chinese")


def _home(settings: Settings) -> Finding:
    from app.cli.home import check_writable

    check_writable(settings.home)
    free_bytes = shutil.disk_usage(settings.home).free
    detail = f"{settings.home}, {free_bytes / 2**30:.1f} GiB free"
    if free_bytes < LOW_DISK_BYTES:
        return Finding("home", "problem", detail, "free some space, or move it: --home or ATTEST_HOME")
    return Finding("home", "ok", detail)


def _encoder(settings: Settings, loaded: list[Encoder]) -> Finding:
    from ingestion.bootstrap import build_encoder

    encoder = build_encoder(settings)
    loaded.append(encoder)
    return Finding("encoder", "ok", f"{encoder.name}, {encoder.embed_dim} dimensions")


def _reader(settings: Settings) -> Finding:
    if settings.generation.generator == "sentences":
        return Finding("reader", "ok", "not used (ATTEST_GENERATION__GENERATOR=sentences)")
    from app.generation.reader import load_reader

    return Finding("reader", "ok", load_reader(settings.generation.reader).name)


def _reranker(settings: Settings) -> Finding:
    if not settings.rerank.enabled:
        return Finding("reranker", "ok", "not used (ATTEST_RERANK__ENABLED=false)")
    from app.rerank.ranker import Ranker

    Ranker.load(settings.rerank.model)
    return Finding("reranker", "ok", str(settings.rerank.model or "the shipped model"))


def _jobs(settings: Settings) -> Finding:
    from app.cli.home import living
    from app.index.catalog import Catalog
    from app.index.jobs import JobQueue

    catalog = Catalog.open(settings.database_url)
    try:
        jobs = JobQueue(catalog)
        depth = jobs.depth()
        workers = len(living(jobs.live_workers()))
    finally:
        catalog.close()
    waiting = depth.get("queued", 0) + depth.get("running", 0)
    detail = f"{waiting} waiting or running, {depth.get('failed', 0)} failed, {workers} workers alive"
    if waiting and not workers:
        return Finding("jobs", "problem", detail, "attest worker (or attest serve)")
    if depth.get("failed", 0):
        return Finding("jobs", "note", detail, "GET /v1/jobs?status=failed gives each reason")
    return Finding("jobs", "ok", detail)


def _indexes(settings: Settings, encoder: Encoder) -> Iterator[Finding]:
    from app.index.catalog import Catalog
    from ingestion.bootstrap import build_index

    catalog = Catalog.open(settings.database_url)
    try:
        store = build_index(settings, encoder)
        for collection in catalog.list_collections():
            name = f"index of {collection.name!r}"

            def look(collection_id: int = collection.id, name: str = name) -> Finding:
                index = store.collection(collection_id)
                snapshot = index.snapshot()
                if snapshot.generation and snapshot.encoder_name != encoder.name:
                    detail = f"built with {snapshot.encoder_name}, but {encoder.name} is configured"
                    return Finding(name, "problem", detail, "attest reindex (or configure the former model again)")
                problems = index.verify()
                if problems:
                    return Finding(name, "problem", "; ".join(problems), "attest reindex builds it again")
                return Finding(name, "ok", f"generation {snapshot.generation}, {snapshot.live_chunks} chunks, sound")

            yield _attempt(name, look)
    finally:
        catalog.close()
