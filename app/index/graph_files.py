"""Where a collection's knowledge graph lies, which generation it belongs to, and its removal.

```
index/<collection_id>/graph/
  lock                   flock, held for moments: naming, removing, forgetting
  facts/<version_id>.json  what was read from one version (graph_facts)
  <digest>.lbug          the graph of exactly the versions whose digest it is
  staging-<random>/      one being built; it counts only once renamed
```

A graph is named by the versions that it holds. A reader computes the name from the generation that it serves: it opens
the graph of that very generation or none, and a generation that changes nothing (a compaction) keeps its graph.
"""

from __future__ import annotations

import hashlib
import secrets
import shutil
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from app.index.durable import file_lock, fsync_directory, replace_file
from app.index.graph_facts import VersionFacts
from app.index.graph_schema import GRAPH_FORMAT
from app.index.segments import FOREVER
from app.index.snapshot import Snapshot

SUFFIX = ".lbug"


def current_versions(snapshot: Snapshot) -> list[int]:
    """Ids of the versions that the generation serves, ascending; retired and deleted ones are not among them."""
    found: list[int] = []
    for opened, alive in zip(snapshot.segments, snapshot.alive, strict=True):
        found += np.asarray(opened.segment.ids)[alive.kept & (alive.valid_to == FOREVER)].tolist()
    return sorted(found)


def digest_of(version_ids: Iterable[int]) -> str:
    """The name of the graph that holds these versions."""
    told = f"{GRAPH_FORMAT} {_engine_version()}:" + ",".join(map(str, sorted(version_ids)))
    return hashlib.sha256(told.encode()).hexdigest()[:32]


@lru_cache(maxsize=1)
def _engine_version() -> str:
    """The engine reads only what its own version has written: after an upgrade graphs are built anew."""
    try:
        return version("ladybug")
    except PackageNotFoundError:
        return ""


class GraphFiles:
    """The graph of one collection on the disk; `root` is `index/<collection_id>`. Creates nothing until it is built."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "graph"

    def database(self, version_ids: Iterable[int]) -> Path:
        """Where the graph of these versions is once it is built."""
        return self.folder / f"{digest_of(version_ids)}{SUFFIX}"

    def facts(self, version_id: int) -> VersionFacts | None:
        """What was read from the version, or None where it was not yet. Raises IntegrityError for a damaged file."""
        try:
            return VersionFacts.from_json(self._facts_path(version_id).read_bytes())
        except FileNotFoundError:
            return None

    def keep_facts(self, facts: VersionFacts, snapshot_now: Snapshot) -> bool:
        """Writes them where `snapshot_now` still serves the version; call under `lock`. False where it does not."""
        row = snapshot_now.find_version(facts.version_id)
        if row is None or row.deleted:
            return False
        path = self._facts_path(facts.version_id)
        path.parent.mkdir(exist_ok=True)
        replace_file(path, facts.to_json())
        return True

    def lock(self) -> AbstractContextManager[None]:
        """Held while files are named or removed. Raises FileNotFoundError when the collection's index is gone."""
        self.folder.mkdir(exist_ok=True)
        return file_lock(self.folder / "lock")

    def stage(self) -> Path:
        """A new empty folder to build in. Raises FileNotFoundError when the collection's index is gone."""
        self.folder.mkdir(exist_ok=True)
        path = self.folder / f"staging-{secrets.token_hex(6)}"
        path.mkdir()
        return path

    def adopt(self, built: Path, version_ids: Sequence[int]) -> None:
        """Names a finished database and removes what it makes needless; call under `lock`.

        Raises:
            FileNotFoundError: a deletion has removed it meanwhile.
        """
        target = self.database(version_ids)
        built.rename(target)
        fsync_directory(self.folder)
        self.tidy(version_ids)

    def tidy(self, version_ids: Sequence[int]) -> None:
        """Removes every graph, staging folder and fact that belongs to other versions than these; call under `lock`."""
        if not self.folder.exists():
            return
        target = self.database(version_ids)
        wanted = {self._facts_path(version_id) for version_id in version_ids}
        for path in [*self.folder.glob("staging-*"), *self.folder.glob(f"*{SUFFIX}*")]:
            if not path.name.startswith(target.name):
                _remove(path)
        for path in self.folder.glob("facts/*"):
            if path not in wanted:
                path.unlink(missing_ok=True)

    def untidy(self, version_ids: Sequence[int]) -> bool:
        """Whether `tidy` has anything to remove."""
        target = self.database(version_ids).name
        names = {str(version_id) for version_id in version_ids}
        return any(not path.name.startswith(target) for path in self.folder.glob(f"*{SUFFIX}*")) or any(
            path.stem not in names for path in self.folder.glob("facts/*")
        )

    def forget(self, version_ids: Iterable[int]) -> int:
        """Removes all that was read from the versions, with every graph that may hold it; returns the files left.

        A graph without them is built by the worker. Call it after the index has dropped the versions: a build that is
        at work then finds its generation gone and throws its result away.
        """
        if not self.folder.exists():
            return 0
        facts = [self._facts_path(version_id) for version_id in version_ids]
        with self.lock():
            for path in facts:
                path.unlink(missing_ok=True)
            for path in self._built():
                _remove(path)
            fsync_directory(self.folder)
            return sum(path.exists() for path in facts) + len(self._built())

    def remove(self) -> None:
        """Removes the whole graph: the collection does not want one any more."""
        if self.folder.exists():
            with self.lock():
                shutil.rmtree(self.folder)

    def _built(self) -> list[Path]:
        return [*self.folder.glob(f"*{SUFFIX}*"), *self.folder.glob("staging-*")]

    def _facts_path(self, version_id: int) -> Path:
        return self.folder / "facts" / f"{version_id}.json"


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
