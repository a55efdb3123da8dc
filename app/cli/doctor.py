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
KernelChoice = Literal["auto", "off", "on"]


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
    if settings.generation.model != "bundled":
        if "local:" in f"{settings.generation.model} {settings.generation.models}":
            yield _attempt("native kernels", lambda: _native_kernels(settings.generation.local.native_kernels))
        yield _attempt("language model", lambda: examine_language_model(settings))
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
    from app.generation.reader import bilingual_folder, has_bilingual, load_reader

    names = [load_reader(settings.generation.reader).name]
    if has_bilingual():
        names.append(f"{load_reader(bilingual_folder()).name} for Chinese")
    return Finding("reader", "ok", ", ".join(names))


def _native_kernels(choice: KernelChoice) -> Finding:
    if choice == "off":
        return Finding("native kernels", "ok", "not used (ATTEST_GENERATION__LOCAL__NATIVE_KERNELS=off)")
    from app.transformer.native.build import INSTALL, built_library, why_not_here

    if reason := why_not_here():
        verdict: Literal["note", "problem"] = "problem" if choice == "on" else "note"
        remedy = "ATTEST_GENERATION__LOCAL__NATIVE_KERNELS=off" if choice == "on" else ""
        return Finding("native kernels", verdict, f"not here: {reason}; language models use PyTorch's", remedy)
    try:
        return Finding("native kernels", "ok", str(built_library()))
    except AttestError as error:
        return Finding("native kernels", "problem" if choice == "on" else "note", error.message, INSTALL)


def examine_language_model(settings: Settings) -> Finding:
    """What of the model that `ATTEST_GENERATION__MODEL` names is there. Raises AttestError where it is nowhere."""
    kind, _, name = settings.generation.model.partition(":")
    if kind == "remote":
        return _remote_model(settings, name)
    from app.cli.models import look_at
    from app.generation.model_place import find_model

    here = settings.generation.local
    found = look_at(find_model(name, settings.home / "models", download=here.download, revision=here.revision))
    if found.runs != "generate":
        return Finding("language model", "problem", f"{found.folder}: {found.reason}", "attest models lists what runs")
    detail = f"{found.folder}, {found.family}, {found.parameters:,} parameters"
    if found.reason:
        return Finding("language model", "note", f"{detail}; {found.reason}", "take its Instruct or Chat version")
    return Finding("language model", "ok", detail)


def _remote_model(settings: Settings, name: str) -> Finding:
    """Asks the server for its list of models, which costs it nothing."""
    import httpx

    from app.generation.remote import is_near

    server = settings.generation.remote
    headers = {"Authorization": f"Bearer {server.api_key.get_secret_value()}"} if server.api_key else {}
    try:
        with httpx.Client(timeout=server.connect_s, trust_env=not is_near(str(server.base_url))) as http:
            answer = http.get(f"{server.base_url}/models", headers=headers)
    except httpx.HTTPError as error:
        what = f"{server.base_url} does not answer ({type(error).__name__})"
        return Finding(
            "language model", "problem", what, "start the server, or correct ATTEST_GENERATION__REMOTE__BASE_URL"
        )
    if answer.status_code in (401, 403):
        what = f"{server.base_url} refuses the key (HTTP {answer.status_code})"
        return Finding("language model", "problem", what, "correct ATTEST_GENERATION__REMOTE__API_KEY")
    try:
        listed = [str(each["id"]) for each in answer.json()["data"]]
    except (ValueError, KeyError, TypeError):
        return Finding("language model", "note", f"{server.base_url} answers, and lists no models", "ask a question")
    if name not in listed:
        near = ", ".join(listed[:5]) or "none"
        return Finding("language model", "note", f"{server.base_url} does not list {name!r}", f"it lists {near}")
    return Finding("language model", "ok", f"{name} at {server.base_url}")


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
