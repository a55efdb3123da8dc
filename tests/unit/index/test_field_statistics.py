"""The fields of a collection as its serving documents hold them."""

import pytest

from app.errors import NotFound
from app.index import field_statistics
from tests.unit.api.harness import running


@pytest.fixture
async def api(tmp_path):
    async with running(tmp_path / "home") as running_api:
        yield running_api


def fields(api):
    return {field.name: field for field in api.services.catalog.metadata_fields("default")}


async def test_types_values_and_ranges(api):
    await api.add("one", metadata={"tags": ["x", "y"], "year": 2020, "day": "2020-01-02", "ok": True, "mixed": 1})
    await api.add("two", metadata={"tags": ["x"], "year": 2022.5, "day": "2021-03-04T05:06:07Z", "mixed": "1"})
    found = fields(api)
    assert list(found)[-1] == "ok"  # the field of one document after those of two
    assert (found["tags"].type, found["tags"].values, found["tags"].many) == ("text", ("x", "y"), True)
    assert (found["year"].type, found["year"].minimum, found["year"].maximum) == ("number", 2020.0, 2022.5)
    assert (found["day"].type, found["day"].minimum) == ("date", "2020-01-02")
    assert (found["ok"].type, found["ok"].count) == ("boolean", 1)
    assert (found["mixed"].type, found["mixed"].values) == ("text", ("1",))


async def test_what_no_longer_serves_is_not_seen(api):
    document = await api.add("one", id="doc", metadata={"city": "Oslo"})
    await api.client.put(f"/v1/documents/{document}", json={"text": "other", "metadata": {"city": "Bergen"}})
    await api.work()
    assert fields(api)["city"].values == ("Bergen",)
    await api.client.delete(f"/v1/documents/{document}")
    assert fields(api) == {}


async def test_values_are_bounded_and_long_ones_left_out(api, monkeypatch):
    monkeypatch.setattr(field_statistics, "MAX_VALUES", 3)
    for number in range(5):
        await api.add(f"text {number}", metadata={"name": f"n{number}", "note": "long " * 100})
    assert fields(api)["name"].values == ("n0", "n1", "n2")
    assert fields(api)["note"].values == ()


async def test_an_unknown_collection_is_not_found(api):
    with pytest.raises(NotFound):
        api.services.catalog.metadata_fields("nope")
