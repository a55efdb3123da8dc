"""Writers in other processes: one that is killed in the middle, and many at once."""

from __future__ import annotations

from app.index.catalog import Catalog
from tests.unit.index.catalog.house import add, start_python


class TestCrashes:
    def test_acknowledged_is_kept_and_unfinished_is_not(self, url: str, catalog: Catalog) -> None:
        script = """
import os, signal, sys
from sqlalchemy import insert
from app.index.catalog import Catalog, utc_now
from app.index.tables import collections
from tests.unit.index.catalog.house import new
catalog = Catalog.open(sys.argv[1])
catalog.submit("default", [new("acknowledged", "kept")])
with catalog.writing() as connection:
    connection.execute(insert(collections).values(name="half", description="", settings={}, created_at=utc_now()))
    os.kill(os.getpid(), signal.SIGKILL)
"""
        process = start_python(script, url)
        process.communicate(timeout=60)
        assert process.returncode == -9
        assert catalog.get_document("kept").status == "queued"
        assert [record.name for record in catalog.list_collections()] == ["default"]
        add(catalog, "Work goes on.", "next")  # no lock is left behind

    def test_two_processes_and_their_threads_write_at_once(self, url: str, catalog: Catalog) -> None:
        script = """
import sys
from concurrent.futures import ThreadPoolExecutor
from app.index.catalog import Catalog
from tests.unit.index.catalog.house import add
catalog = Catalog.open(sys.argv[1])
def work(thread):
    for i in range(6):
        add(catalog, f"Text {thread} {i}.", f"{sys.argv[2]}-{thread}-{i}")
        catalog.list_documents()
        add(catalog, f"Shared {i}.")
with ThreadPoolExecutor(3) as pool:
    list(pool.map(work, range(3)))
catalog.close()
"""
        processes = [start_python(script, url, name) for name in ("left", "right")]
        for process in processes:
            _, errors = process.communicate(timeout=100)
            assert process.returncode == 0, errors
        documents, _ = catalog.list_documents(limit=1_000)
        assert all(document.status == "ready" for document in documents)
        # both processes submit the same 18 texts under their own ids, and 6 shared ones: each is stored once
        assert len(documents) == 18 + 6
        assert len({document.sha256 for document in documents}) == 18 + 6
