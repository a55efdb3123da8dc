"""The more general question behind a question: its dates and figures dropped, its names kept as the topic.

Source: Zheng et al. 2024, "Take a Step Back", section 2, with rules in the place of the prompted model.
"""

from __future__ import annotations

import re

from app.query.surface import content_words, is_chinese, names, times, without

_FIGURE = re.compile(
    r"\b(?:exactly|approximately|about|at least|more than|less than|over|under)?\s*[$€£¥]?\d[\d,.]*%?\b", re.I
)
_ASIDE = re.compile(r"\([^)]*\)|,\s*(?:which|who|whose|where|when)\b[^,?]*,?", re.IGNORECASE)


def step_back(question: str) -> str | None:
    """The general question; None where the question is general already."""
    text = question.strip()
    general = without(text, times(text))
    general = re.sub(r"\s+", " ", _FIGURE.sub(" ", _ASIDE.sub(" ", general))).strip(" ,")
    general = re.sub(r"\s+([?.,])", r"\1", general)
    if _differs(general, text):
        return general
    topic = [span.text for span in names(text)]
    if not topic or len(content_words(text)) <= len(topic) + 1:
        return None
    joined = "、".join(topic) if is_chinese(text) else " and ".join(topic)
    return f"{joined}的概况" if is_chinese(text) else f"Overview of {joined}"


def _differs(general: str, text: str) -> bool:
    return len(content_words(general)) >= 2 and [s.text for s in content_words(general)] != [
        s.text for s in content_words(text)
    ]
