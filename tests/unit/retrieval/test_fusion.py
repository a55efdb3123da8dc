from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InvalidInput
from app.retrieval.fusion import reciprocal_rank_fusion


def test_scores_are_the_sums_of_reciprocal_ranks() -> None:
    fused = reciprocal_rank_fusion([["a", "b", "c"], ["c", "a"]], k=60)
    assert [key for key, _ in fused] == ["a", "c", "b"]
    assert dict(fused) == pytest.approx({"a": 1 / 61 + 1 / 62, "c": 1 / 63 + 1 / 61, "b": 1 / 62}, abs=1e-15)


def test_ties_go_to_the_smaller_key_whatever_the_order_of_rankings() -> None:
    # Both keys hold ranks 1, 2 and 3: summed in another order, floats would differ in the last bit.
    rankings = [["b", "a", "x"], ["a", "y", "b"], ["z", "b", "a"]]
    first = reciprocal_rank_fusion([*rankings, ["a"]], k=7)
    second = reciprocal_rank_fusion([["a"], *reversed(rankings)], k=7)
    assert first == second
    tied = reciprocal_rank_fusion([["b", "a", "c"], ["c", "b", "a"], ["a", "c", "b"]], k=60)
    assert [key for key, _ in tied] == ["a", "b", "c"]
    assert len({score for _, score in tied}) == 1


def test_weights_scale_a_ranking() -> None:
    fused = reciprocal_rank_fusion([["a"], ["b"]], k=0, weights=[1.0, 3.0])
    assert fused == [("b", 3.0), ("a", 1.0)]


def test_empty_rankings_add_nothing() -> None:
    assert reciprocal_rank_fusion([]) == []
    assert reciprocal_rank_fusion([[], ["a"], []], k=1) == [("a", 0.5)]


@pytest.mark.parametrize(
    ("rankings", "arguments", "message"),
    [
        ([["a"]], {"k": -1}, "rrf_k is -1"),
        ([["a", "a"]], {}, "repeats a key"),
        ([["a"]], {"weights": [1.0, 2.0]}, "must be 1 non-negative"),
        ([["a"]], {"weights": [-1.0]}, "non-negative"),
    ],
)
def test_wrong_arguments_are_named(rankings: list[list[str]], arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        reciprocal_rank_fusion(rankings, **arguments)  # type: ignore[arg-type]


@given(st.lists(st.lists(st.integers(0, 20), unique=True, max_size=12), max_size=5))
def test_every_key_appears_once_and_scores_fall(rankings: list[list[int]]) -> None:
    fused = reciprocal_rank_fusion(rankings)
    assert sorted(key for key, _ in fused) == sorted({key for ranking in rankings for key in ranking})
    assert fused == sorted(fused, key=lambda item: (-item[1], item[0]))
