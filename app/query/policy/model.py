"""The learned policy: boosted trees predict the gain of each kind of translation; a rule spends the time."""

from __future__ import annotations

import hashlib
import json
import math
import statistics
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from app.errors import IntegrityError, InvalidInput, Unavailable
from app.protocols import Float32
from app.query.policy.features import FEATURES
from app.query.translation import KINDS

BUNDLED = Path(__file__).resolve().parent.parent.parent / "bundled" / "policy"
MODEL, CHECKSUMS = "policy.json", "SHA256SUMS"
RULES = "rules"
"""The writer of translations where no language model is configured."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A kind is asked for where `gain − caution · spread > margin`; at most `most` kinds, the surest gain first."""

    caution: float
    margin: float
    most: int


NEVER = Rule(0.0, math.inf, 0)


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one kind: milliseconds to write it, and how many times the first look's time its own look takes."""

    write_ms: float
    looks: float

    def ms(self, look_ms: float) -> float:
        """What the kind would add to a question whose first look took `look_ms`."""
        return self.write_ms + self.looks * look_ms


@dataclass(frozen=True, slots=True)
class Prediction:
    """Gain of (recall@10 + nDCG@10) / 2 against no translation, between −1 and 1; `spread` over the ensemble."""

    gain: float
    spread: float


@dataclass(frozen=True, slots=True)
class Decision:
    """The kinds to ask for, the surest gain first; `why` has a line a kind."""

    kinds: tuple[str, ...]
    predicted: Mapping[str, Prediction]
    cost_ms: Mapping[str, float]
    why: Mapping[str, str]

    def told(self) -> dict[str, Any]:
        """As the trace shows it."""
        return {
            "chosen": list(self.kinds),
            "kinds": {
                kind: {
                    "gain": round(predicted.gain, 4),
                    "spread": round(predicted.spread, 4),
                    "ms": round(self.cost_ms[kind], 1),
                    "why": self.why[kind],
                }
                for kind, predicted in self.predicted.items()
            },
        }


def decide(rule: Rule, predicted: Mapping[str, Prediction], cost_ms: Mapping[str, float], budget_ms: float) -> Decision:
    """What the rule makes of the predictions; a kind that does not fit what is left of the budget is passed over."""
    floors = {kind: each.gain - rule.caution * each.spread for kind, each in predicted.items()}
    chosen: list[str] = []
    why: dict[str, str] = {}
    left = budget_ms
    for kind in sorted(predicted, key=lambda kind: (-floors[kind], kind)):
        if floors[kind] <= rule.margin:
            why[kind] = f"gain for sure {floors[kind]:+.3f}: not above {rule.margin:g}"
        elif len(chosen) >= rule.most:
            why[kind] = f"{rule.most} kinds are enough"
        elif cost_ms[kind] > left:
            why[kind] = f"{cost_ms[kind]:.0f} ms are more than the {left:.0f} ms left"
        else:
            why[kind] = f"gain for sure {floors[kind]:+.3f}"
            chosen.append(kind)
            left -= cost_ms[kind]
    return Decision(tuple(chosen), predicted, cost_ms, why)


class Policy:
    """An ensemble of LightGBM regressors for each kind. Threads may share it.

    Args:
        boosters: by kind, over `FEATURES`; a kind without any is never asked for.
        costs: by kind.
        rule: chosen on the training collections.
        writer: whose translations it has learned to judge.
    """

    def __init__(
        self, boosters: Mapping[str, Sequence[Any]], costs: Mapping[str, Cost], rule: Rule, writer: str = RULES
    ) -> None:
        for kind, ensemble in boosters.items():
            if kind not in KINDS or kind not in costs:
                raise InvalidInput(f"policy: kind {kind!r} must be one of {', '.join(KINDS)} and have a cost")
            for booster in ensemble:
                if tuple(booster.feature_name()) != FEATURES:
                    raise InvalidInput(
                        f"policy: the trees for {kind} were trained on other features than this version's "
                        f"{len(FEATURES)}; train it again with `attest train policy --data DIR`"
                    )
        self._boosters = {kind: tuple(ensemble) for kind, ensemble in boosters.items() if ensemble}
        self._costs = dict(costs)
        self._turn = threading.Lock()
        self.rule = rule
        self.writer = writer

    @property
    def kinds(self) -> tuple[str, ...]:
        """Those that it can choose."""
        return tuple(self._boosters)

    def predict(self, features: Float32) -> list[dict[str, Prediction]]:
        """One prediction a row and kind.

        Args:
            features: [n, f], rows of `features.build`.
        """
        rows = np.atleast_2d(features)
        with self._turn:
            found = {
                kind: [booster.predict(rows, num_threads=1).tolist() for booster in ensemble]
                for kind, ensemble in self._boosters.items()
            }
        return [
            {
                kind: Prediction(
                    statistics.fmean(column[row] for column in columns),
                    statistics.pstdev(column[row] for column in columns),
                )
                for kind, columns in found.items()
            }
            for row in range(len(rows))
        ]

    def costs(self, look_ms: float) -> dict[str, float]:
        """What each kind would add, in milliseconds, to a question whose first look took `look_ms`."""
        return {kind: self._costs[kind].ms(look_ms) for kind in self._boosters}

    def decide(self, features: Float32, *, look_ms: float, budget_ms: float) -> Decision:
        """The kinds for one question.

        Args:
            features: [f], of `features.build`.
            look_ms: what the first look took just now: it says how quick this machine and index are.
            budget_ms: for all kinds together.
        """
        return decide(self.rule, self.predict(features)[0], self.costs(look_ms), budget_ms)

    def to_json(self) -> str:
        """What `load` reads."""
        return json.dumps(
            {
                "version": 1,
                "writer": self.writer,
                "features": list(FEATURES),
                "rule": {"caution": self.rule.caution, "margin": self.rule.margin, "most": self.rule.most},
                "kinds": {
                    kind: {
                        "write_ms": self._costs[kind].write_ms,
                        "looks": self._costs[kind].looks,
                        "trees": [booster.model_to_string() for booster in ensemble],
                    }
                    for kind, ensemble in self._boosters.items()
                },
            },
            indent=1,
        )

    @classmethod
    def load(cls, folder: Path | None = None) -> Self:
        """The policy in a folder, or the shipped one, after checking its checksum.

        Args:
            folder: written by `attest train policy`; None for the shipped one.

        Raises:
            Unavailable: there is no policy in it.
            IntegrityError: it is not what its checksum says, or no policy at all.
            InvalidInput: it was trained on other features.
        """
        place = folder or BUNDLED
        file = place / MODEL
        if not file.is_file():
            raise Unavailable(
                f"translation policy {place.name}: no {MODEL} in it; set ATTEST_QUERY__POLICY to a folder that "
                "`attest train policy --data DIR --out FOLDER` wrote, or unset it"
            )
        text = file.read_bytes()
        _verify(place, text)
        import lightgbm

        try:
            stored = json.loads(text)
            rule = Rule(**stored["rule"])
            costs = {kind: Cost(each["write_ms"], each["looks"]) for kind, each in stored["kinds"].items()}
            boosters = {
                kind: [lightgbm.Booster(model_str=tree) for tree in each["trees"]]
                for kind, each in stored["kinds"].items()
            }
            writer = str(stored["writer"])
        except (ValueError, KeyError, TypeError, AttributeError, lightgbm.basic.LightGBMError) as error:
            raise IntegrityError(
                f"translation policy {place.name}: {MODEL} is none ({type(error).__name__}); train it again with "
                "`attest train policy --data DIR`"
            ) from error
        return cls(boosters, costs, rule, writer)


def has_bundled_policy() -> bool:
    """Whether a policy ships with this version: one does where it beats no translation on collections held out."""
    return (BUNDLED / MODEL).is_file()


def checksum_line(text: bytes) -> str:
    """The line of `SHA256SUMS` for a policy's file."""
    return f"{hashlib.sha256(text).hexdigest()}  {MODEL}\n"


def _verify(folder: Path, text: bytes) -> None:
    sums = folder / CHECKSUMS
    if not sums.is_file() or checksum_line(text) not in sums.read_text(encoding="ascii").splitlines(keepends=True):
        raise IntegrityError(
            f"translation policy {folder.name}: {MODEL} is not what {CHECKSUMS} beside it says; train it again with "
            "`attest train policy --data DIR`, or reinstall the package"
        )
