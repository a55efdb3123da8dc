from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.index.catalog import Catalog
from app.index.jobs import JobQueue
from tests.unit.index.catalog.house import Clock


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'attest.db'}"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def catalog(url: str, clock: Clock) -> Iterator[Catalog]:
    catalog = Catalog.open(url, clock)
    yield catalog
    catalog.close()


@pytest.fixture
def queue(catalog: Catalog) -> JobQueue:
    return JobQueue(catalog)
