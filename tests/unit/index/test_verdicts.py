"""When a version is promoted: its held-out scores move as wanted, and chance does not explain it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import pytest

from app.evaluation.metrics import paired_bootstrap
from app.index.verdicts import Verdict, judge


def ndcg(before: Sequence[float], after: Sequence[float]) -> Verdict:
    return judge(before, after, paired_bootstrap, metric="nDCG@10", wanted="rise", method="m")


def test_a_rise_that_may_be_chance_is_not_promoted() -> None:
    """Ten questions of which one improves: the mean rises, the interval does not leave 0; with nine of ten it does."""
    verdict = ndcg((0.5,) * 10, (1.0,) + (0.5,) * 9)
    assert not verdict.promote
    assert verdict.reason.startswith("not promoted: held-out nDCG@10 0.500 before, 0.550 after (+0.050, 90% interval ")
    assert verdict.reason.endswith("10 questions); the rise may be chance")
    assert verdict.figures["difference"]["low"] == 0
    assert verdict.figures["ndcg@10"] == {"base": 0.5, "trained": pytest.approx(0.55)}
    better = ndcg((0.5,) * 10, (0.5,) + (1.0,) * 9)
    assert better.promote
    assert better.reason.startswith("promoted: held-out nDCG@10 0.500 before, 0.950 after")


@pytest.mark.parametrize("after", [0.4, 0.5])
def test_what_does_not_rise_says_so(after: float) -> None:
    verdict = ndcg((0.5,) * 10, (after,) * 10)
    assert not verdict.promote
    assert verdict.reason.endswith("; it does not rise")


@pytest.mark.parametrize(
    ("wanted", "promoted", "told"), [("fall", True, "promoted: "), ("rise", False, "it does not rise")]
)
def test_a_loss_is_to_fall(wanted: Literal["rise", "fall"], promoted: bool, told: str) -> None:
    verdict = judge((0.9,) * 5, (0.4,) * 5, paired_bootstrap, metric="log loss", wanted=wanted, method="m")
    assert verdict.promote is promoted
    assert told in verdict.reason
    assert verdict.figures["log_loss"] == {"base": pytest.approx(0.9), "trained": pytest.approx(0.4)}
    assert verdict.figures["questions"] == 5
