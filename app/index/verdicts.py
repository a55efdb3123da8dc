"""Whether a version is promoted: its held-out scores, paired with those of what serves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from app.protocols import Compare

CONFIDENCE = 0.9
"""Of the interval that has to leave out 0."""
SEED = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether to promote, why, and the held-out figures."""

    promote: bool
    reason: str
    figures: Mapping[str, Any]


def judge(
    before: Sequence[float],
    after: Sequence[float],
    compare: Compare,
    *,
    metric: str,
    wanted: Literal["rise", "fall"],
    method: str,
) -> Verdict:
    """Promotes where the mean moves as wanted, beyond what chance explains.

    Args:
        before: each held-out question's score under what serves.
        after: its score under the new version.
        compare: the paired comparison.
        metric: as people are told it; in the figures it stands in lower case, with `_` for spaces.
        wanted: the direction that is better.
        method: how the scores were come by, for the figures.
    """
    difference = compare(before, after, confidence=CONFIDENCE, seed=SEED)
    mean_before, mean_after = (sum(scores) / len(scores) for scores in (before, after))
    sign = 1 if wanted == "rise" else -1
    moved, sure = sign * difference.mean > 0, min(sign * difference.low, sign * difference.high) > 0
    interval = f"{difference.mean:+.3f}, {CONFIDENCE:.0%} interval {difference.low:+.3f} to {difference.high:+.3f}"
    told = f"held-out {metric} {mean_before:.3f} before, {mean_after:.3f} after ({interval}, {len(before)} questions)"
    if moved and sure:
        reason = f"promoted: {told}"
    elif moved:
        reason = f"not promoted: {told}; the {wanted} may be chance"
    else:
        reason = f"not promoted: {told}; it does not {wanted}"
    figures = {
        "questions": len(before),
        metric.lower().replace(" ", "_"): {"base": mean_before, "trained": mean_after},
        "difference": {
            "mean": difference.mean,
            "low": difference.low,
            "high": difference.high,
            "confidence": CONFIDENCE,
        },
        "method": method,
    }
    return Verdict(moved and sure, reason, figures)
