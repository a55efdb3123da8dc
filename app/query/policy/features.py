"""What the policy sees of a question and of a first look at the index: named, ordered numbers, one builder for
training and service.
"""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from app.index.analysis import analyze
from app.protocols import Float32
from app.query.decomposition import decompose
from app.query.expansion import TermStatistics
from app.query.step_back import step_back
from app.query.step_plan import plan_steps
from app.query.surface import content_words, is_chinese, names, times

FEATURES: tuple[str, ...] = (
    # the question
    "terms", "content_words", "asks_entity", "asks_thing", "asks_reason", "asks_yes_no", "names", "times", "joined",
    "compares", "possessives", "chinese", "has_plan", "has_parts", "has_general",
    # how rare its terms are
    "idf_max", "idf_mean", "rare_share", "unknown_share",
    # the first look
    "bm25_top", "bm25_margin", "bm25_fall", "bm25_entropy", "cosine_top", "cosine_margin", "cosine_fall",
    "cosine_entropy", "overlap", "top_agrees", "lexical_found", "covered_top", "covered_best",
)  # fmt: skip
_RARE = 0.6  # of the highest possible idf: of 1,000 passages about 8 hold the term, of 100,000 about 60
_NO_TERM = "no term"  # terms hold no blank: its idf is that of a term that no passage holds
_SHOWN = 10
_ENTITY = re.compile(
    r"\b(?:who|whom|whose|when|where|how (?:many|much|old|long|far))\b|谁|何时|哪里|哪儿|多少|几", re.I
)
_THING = re.compile(r"\b(?:what|which)\b|什么|哪", re.IGNORECASE)
_REASON = re.compile(
    r"\bwhy\b|\bhow\b(?! (?:many|much|old|long|far)\b)|\b(?:explain|describe)\b|为什么|为何|怎|如何", re.I
)
_YES_NO = re.compile(r"^\s*(?:is|are|was|were|do|does|did|can|could|has|have|had|will|would|should)\b|吗|是否", re.I)
_JOINED = re.compile(r"\b(?:and|or|both|as well as)\b|以及|或者|和", re.IGNORECASE)
_COMPARES = re.compile(
    r"\b(?:than|versus|vs|compared?|differen(?:t|ce|ces)|similar|same|earlier|later|older|younger|first|more|less|"
    r"better|larger|smaller|higher|lower)\b|比较|相比|不同|更",
    re.IGNORECASE,
)
_POSSESSIVE = re.compile(r"['’]s\b|\b(?:of|by) (?:the|a)\b|的", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class FirstLook:
    """What the question alone found. `dense` and `lexical`: (key, cosine or BM25 score), best first; empty where that
    retriever was not asked. `texts`: of the best passages after fusion, best first.
    """

    dense: Sequence[tuple[Hashable, float]]
    lexical: Sequence[tuple[Hashable, float]]
    texts: Sequence[str]


def build(question: str, look: FirstLook, statistics: TermStatistics | None) -> Float32:
    """[f] float32 in the order of `FEATURES`; what can not be known (no look, no such retriever) is NaN.

    Args:
        question: standalone.
        look: the first retrieval, with the question alone.
        statistics: what terms weigh in the collections searched.
    """
    terms = list(dict.fromkeys(analyze(question)))
    idf = _relative_idf(terms, statistics)
    values = {**_of_question(question, len(terms)), **_of_terms(terms, idf), **_of_look(look, idf)}
    return np.array([values.get(name, math.nan) for name in FEATURES], dtype=np.float32)


def _of_question(question: str, terms: int) -> dict[str, float]:
    return {
        "terms": terms,
        "content_words": len(content_words(question)),
        "asks_entity": float(bool(_ENTITY.search(question))),
        "asks_thing": float(bool(_THING.search(question))),
        "asks_reason": float(bool(_REASON.search(question))),
        "asks_yes_no": float(bool(_YES_NO.search(question))),
        "names": len(names(question)),
        "times": len(times(question)),
        "joined": len(_JOINED.findall(question)),
        "compares": float(bool(_COMPARES.search(question))),
        "possessives": len(_POSSESSIVE.findall(question)),
        "chinese": float(is_chinese(question)),
        "has_plan": float(plan_steps(question) is not None),
        "has_parts": float(bool(decompose(question))),
        "has_general": float(step_back(question) is not None),
    }


def _relative_idf(terms: Sequence[str], statistics: TermStatistics | None) -> dict[str, float]:
    """Of 1, the idf of a term that no passage holds: so that small and large collections compare."""
    if statistics is None or not terms:
        return {}
    idf = statistics.idf([*terms, _NO_TERM])
    highest = idf.get(_NO_TERM, 0.0)
    return {term: idf[term] / highest for term in terms} if highest > 0 else {}


def _of_terms(terms: Sequence[str], idf: dict[str, float]) -> dict[str, float]:
    weights = [idf[term] for term in terms if term in idf]
    if not weights:
        return {}
    return {
        "idf_max": max(weights),
        "idf_mean": math.fsum(weights) / len(weights),
        "rare_share": sum(weight >= _RARE for weight in weights) / len(weights),
        "unknown_share": sum(weight >= 1 - 1e-9 for weight in weights) / len(weights),
    }


def _of_look(look: FirstLook, idf: dict[str, float]) -> dict[str, float]:
    values: dict[str, float] = {}
    if look.lexical:
        scores = [score for _, score in look.lexical[:_SHOWN]]
        mass = math.fsum(idf.values())
        # BM25 grows with the question's length and rarity: only its share of what is possible compares
        values["bm25_top"] = scores[0] / mass if mass > 0 else math.nan
        values.update(_shape("bm25", scores, scale=scores[0] / 5 if scores[0] > 0 else 1.0))
    if look.dense:
        scores = [score for _, score in look.dense[:_SHOWN]]
        values["cosine_top"] = scores[0]
        values.update(_shape("cosine", scores, scale=0.05))
    values["lexical_found"] = min(len(look.lexical), 50) / 50
    if look.dense and look.lexical:
        dense = [key for key, _ in look.dense[:_SHOWN]]
        lexical = [key for key, _ in look.lexical[:_SHOWN]]
        values["overlap"] = len(set(dense) & set(lexical)) / max(1, min(len(dense), len(lexical)))
        values["top_agrees"] = float(dense[0] in lexical[:3]) + float(lexical[0] in dense[:3])
    if idf and look.texts:
        held = [set(analyze(text)) for text in look.texts[:5]]
        mass = math.fsum(idf.values()) or 1.0
        covered = [math.fsum(weight for term, weight in idf.items() if term in found) / mass for found in held]
        values["covered_top"] = covered[0]
        values["covered_best"] = max(covered)
    return values


def _shape(name: str, scores: Sequence[float], *, scale: float) -> dict[str, float]:
    """How steeply the scores fall: first to second, first to last, and the entropy of their softmax (0 to 1)."""
    top = scores[0]
    whole = abs(top) or 1.0
    weights = [math.exp((score - top) / scale) for score in scores]
    total = math.fsum(weights)
    entropy = -math.fsum(weight / total * math.log(weight / total) for weight in weights if weight > 0)
    return {
        f"{name}_margin": (top - scores[1]) / whole if len(scores) > 1 else 1.0,
        f"{name}_fall": (top - scores[-1]) / whole,
        f"{name}_entropy": entropy / math.log(len(scores)) if len(scores) > 1 else 0.0,
    }
