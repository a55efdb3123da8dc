"""`translate: "auto"`: the kinds of translation that the policy finds worth their time for this question."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from app.errors import InvalidInput
from app.protocols import TextModel
from app.query.expansion import TermStatistics
from app.query.policy.features import FEATURES, FirstLook, build
from app.query.policy.model import RULES, Policy, has_bundled_policy
from app.query.rewriting import AUTO_CASES, Rewriting
from app.query.translation import WRITER_TASKS
from app.telemetry import Trace


@dataclass(frozen=True, slots=True)
class AutoTranslation:
    """A policy and what it may spend: `budget_ms` for all translations of one question, their retrieval included."""

    policy: Policy
    budget_ms: float

    def kinds(
        self, question: str, look: FirstLook, statistics: TermStatistics | None, *, look_ms: float, trace: Trace
    ) -> tuple[str, ...]:
        """The kinds to ask for, in order; the trace's stage `policy` says what was seen, expected and chosen, and why.

        Args:
            question: standalone.
            look: what the question alone found.
            statistics: what terms weigh in the collections searched.
            look_ms: what that look took.
            trace: of the request.
        """
        with trace.stage("policy", budget_ms=self.budget_ms) as stage:
            features = build(question, look, statistics)
            decision = self.policy.decide(features, look_ms=look_ms, budget_ms=self.budget_ms)
            stage.detail["features"] = {
                name: None if math.isnan(value) else round(value, 4)
                for name, value in zip(FEATURES, features.tolist(), strict=True)
            }
            stage.detail.update(decision.told())
        return decision.kinds


def writer_name(model: TextModel | None, rewriting: Rewriting) -> str:
    """Who writes the translations here, as a policy names it: a language model, `RULES`, "writer", or "auto" for the
    bundled writer in some tasks and the rules in others.
    """
    if model is not None:
        return model.name
    translates = rewriting.choice == "writer" or AUTO_CASES & set(WRITER_TASKS.values())
    return rewriting.choice if rewriting.writer is not None and rewriting.choice != "rules" and translates else RULES


def open_auto(folder: Path | None, budget_ms: float, writer: str) -> AutoTranslation | None:
    """Who chooses the translations of "auto"; None where nobody does: nothing to spend, or no policy that fits.

    Args:
        folder: of a policy; None for the shipped one, where there is one.
        budget_ms: 0 or more.
        writer: of the translations here, by `writer_name`. A policy has learned to judge one writer's translations, so
            the shipped one stands back where another writes.

    Raises:
        Unavailable, IntegrityError, InvalidInput: as `Policy.load`; InvalidInput also where the policy in `folder` has
            learned from another writer.
    """
    if budget_ms == 0 or (folder is None and not has_bundled_policy()):
        return None
    policy = Policy.load(folder)
    if policy.writer == writer:
        return AutoTranslation(policy, budget_ms)
    if folder is None:
        return None
    raise InvalidInput(
        f"ATTEST_QUERY__POLICY: the policy has learned from translations written by {policy.writer}, but {writer} "
        "writes them here: unset it, or train one with `attest train policy`"
    )
