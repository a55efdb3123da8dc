"""`attest ingest`: files and folders into a collection, through the running server or straight into the home."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.serve import HomeOption
from app.errors import InvalidInput

if TYPE_CHECKING:
    from app.cli.intake import Intake, Receipt, Source

GROUP_FILES = 64
"""Files submitted as one job."""
GROUP_BYTES = 64 * 2**20
"""Bytes past which a group is closed, so that one request stays small."""
POLL_S = 0.25
ENDED = ("ready", "failed", "deleted")


def ingest(
    paths: Annotated[list[Path], typer.Argument(help="Files, and folders taken with everything below them.")],
    collection: Annotated[str, typer.Option("--collection", "-c", help="Collection to put them in.")] = "default",
    wait: Annotated[bool, typer.Option("--wait", help="Return when everything can be searched or has failed.")] = False,
    metadata: Annotated[str | None, typer.Option(help="JSON object stored with every document.")] = None,
    home: HomeOption = None,
) -> None:
    """Add files and folders; what is already there, byte for byte, is not added again, so it can be repeated."""
    from app.cli.home import prepare
    from app.cli.intake import open_intake

    settings = prepare(home)
    fields = parse_metadata(metadata)
    problems: list[str] = []
    sources = list(walk(paths, problems))
    if not sources and not problems:
        raise InvalidInput(f"no files below {', '.join(map(str, paths))} (hidden files and folders are skipped)")
    intake = open_intake(settings)
    try:
        if intake.ensure_collection(collection):
            print(f"made the collection {collection!r}")
        receipts = _submit(intake, sources, collection, fields)
        problems += [problem for receipt in receipts for problem in receipt.problems]
        refused = len(problems)
        if wait:
            problems += _wait(intake, receipts)
    finally:
        intake.close()
    _report(receipts, problems, ended_badly=len(problems) - refused, waited=wait)
    raise typer.Exit(1 if problems else 0)


def parse_metadata(text: str | None) -> dict[str, Any]:
    """The object in `text`, empty for None.

    Raises:
        InvalidInput: it is no JSON object.
    """
    if text is None:
        return {}
    try:
        value = json.loads(text)
    except ValueError as error:
        raise InvalidInput(f"--metadata is no JSON: {error}; write it like '{{\"year\": 2024}}'") from None
    if not isinstance(value, dict):
        raise InvalidInput(f"--metadata {text!r:.80} must be a JSON object like '{{\"year\": 2024}}'")
    return value


def walk(paths: Sequence[Path], problems: list[str]) -> Iterator[Source]:
    """The files at and below `paths`, sorted, each once; hidden files and folders are skipped, links to folders are not
    followed, and folders that can not be read are added to `problems`.

    Raises:
        InvalidInput: a path is not there, or is neither a file nor a folder.
    """
    from app.cli.intake import Source

    seen: set[Path] = set()
    for given in paths:
        if given.is_file():
            found = iter([Source(given, given.name)])
        elif given.is_dir():
            found = (Source(path, path.relative_to(given).as_posix()) for path in _below(given, problems))
        else:
            raise InvalidInput(f"{given} {'is neither a file nor a folder' if given.exists() else 'does not exist'}")
        for source in found:
            real = source.path.resolve()
            if real not in seen:
                seen.add(real)
                yield source


def _below(root: Path, problems: list[str]) -> Iterator[Path]:
    def unreadable(error: OSError) -> None:
        problems.append(f"{error.filename}: {error.strerror}")

    for folder, folders, files in os.walk(root, onerror=unreadable):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(folder, name)
            if not name.startswith(".") and path.is_file():
                yield path


def groups(sources: Sequence[Source]) -> Iterator[list[Source]]:
    """`sources` in order, in groups of at most `GROUP_FILES` files and `GROUP_BYTES` bytes (a larger file alone)."""
    group: list[Source] = []
    size_bytes = 0
    for source in sources:
        own_bytes = source.path.stat().st_size if source.path.exists() else 0
        if group and (len(group) == GROUP_FILES or size_bytes + own_bytes > GROUP_BYTES):
            yield group
            group, size_bytes = [], 0
        group.append(source)
        size_bytes += own_bytes
    if group:
        yield group


def _submit(intake: Intake, sources: Sequence[Source], collection: str, metadata: dict[str, Any]) -> list[Receipt]:
    from tqdm import tqdm

    receipts: list[Receipt] = []
    with tqdm(total=len(sources), desc="submitting", unit="file", leave=False, disable=None) as bar:
        for group in groups(sources):
            receipts.append(intake.submit(group, collection, metadata))
            bar.update(len(group))
    return receipts


def _wait(intake: Intake, receipts: Sequence[Receipt]) -> list[str]:
    """Returns once every document can be searched or has failed: what failed, as `name: reason` lines."""
    from tqdm import tqdm

    taken = [document for receipt in receipts for document in receipt.documents]
    names = {document.document_id: document.name for document in taken}
    problems: list[str] = []
    with tqdm(total=len(taken), desc="ingesting", unit="document", disable=None) as bar:
        finished = 0
        for job_id in [job_id for receipt in receipts for job_id in receipt.job_ids]:
            while not (progress := intake.progress(job_id)).ended:
                bar.update(finished + progress.done - bar.n)
                intake.advance()
                time.sleep(POLL_S)
            finished += progress.done
            bar.update(finished - bar.n)
            problems += [f"{names.get(each, each)}: {reason}" for each, reason in progress.problems]
            if progress.error and not progress.problems:
                problems.append(f"job {job_id}: {progress.error}")
        for each in taken:  # the bytes of a duplicate may have come with an earlier job that is still at work
            if each.duplicate and each.status not in ENDED:
                while (seen := intake.document(each.document_id))[0] not in ENDED:
                    intake.advance()
                    time.sleep(POLL_S)
                if seen[0] != "ready":
                    problems.append(f"{each.name}: {seen[1] or seen[0]}")
    return problems


def _report(receipts: Sequence[Receipt], problems: Sequence[str], *, ended_badly: int, waited: bool) -> None:
    taken = [document for receipt in receipts for document in receipt.documents]
    duplicates = sum(document.duplicate for document in taken)
    new = max(0, len(taken) - duplicates - ended_badly)
    for problem in problems:
        print(f"failed: {problem}")
    there = f", {duplicates} already there" if duplicates else ""
    failed = f", {len(problems)} failed" if problems else ""
    print(f"{new} {'ingested' if waited else 'queued'}{there}{failed}")
