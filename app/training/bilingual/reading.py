"""Chinese reading-comprehension questions, with roles that no article crosses."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from app.index.unsegmented import fold_han
from app.training.everyday import everyday_questions
from app.training.reading_sets import (
    CHINESE_SETS,
    CROSS_LINGUAL_SET,
    ReadingQuestion,
    load_reading_set,
)

CHINESE = ("zh", "zh-Hant", "zh>en", "en>zh")


def load_chinese_questions(data_dir: Path) -> list[ReadingQuestion]:
    """Return the questions of CMRC 2018, DRCD, XQuAD's Chinese part ("xquad_zh") and its cross-lingual one.

    CMRC and DRCD both come from Wikipedia: questions of one whose article or passage is held out or for development in
    the other are dropped from training (titles folded to simplified characters). XQuAD goes by SQuAD's articles.

    Raises:
        Unavailable: a data file is missing.
    """
    wikipedia = [q for name in CHINESE_SETS for q in load_reading_set(data_dir, name, CHINESE)]
    closed = {fold_han(q.title) for q in wikipedia if q.role != "train"}
    kept = [q for q in wikipedia if q.role != "train" or fold_han(q.title) not in closed]
    held_contexts = {q.context for q in kept if q.role != "train"}
    kept = [q for q in kept if q.role != "train" or q.context not in held_contexts]
    parallel = [replace(q, collection="xquad_zh") for q in load_reading_set(data_dir, "xquad_en_zh", CHINESE)]
    return [*kept, *parallel, *load_reading_set(data_dir, CROSS_LINGUAL_SET, CHINESE)]


def all_chinese_questions(data_dir: Path) -> list[ReadingQuestion]:
    """Return the Chinese questions of the sets in `data_dir` and the everyday ones with a short answer.

    Raises:
        Unavailable: a data file is missing.
    """
    return [*load_chinese_questions(data_dir), *everyday_questions(language="zh")]


def parallel_texts(data_dir: Path) -> tuple[list[str], list[str]]:
    """Return English and Chinese texts that say the same: questions and answers of XQuAD's training articles.

    Raises:
        Unavailable: the data file is missing.
    """
    both: dict[str, dict[str, ReadingQuestion]] = {}
    for language in ("en", "zh"):
        for q in load_reading_set(data_dir, "xquad_en_zh", (language,)):
            if q.role == "train":
                both.setdefault(q.id.rsplit("-", 1)[-1], {})[language] = q
    pairs = [pair for pair in both.values() if len(pair) == 2]
    english = [text for pair in pairs for text in (pair["en"].question, pair["en"].answers[0])]
    chinese = [text for pair in pairs for text in (pair["zh"].question, pair["zh"].answers[0])]
    for first, second in sorted({(pair["en"].context, pair["zh"].context) for pair in pairs}):
        ours, theirs = re.split(r"(?<=[.!?]) +(?=[A-Z])", first), re.split("(?<=[。！？])", second.strip())
        theirs = [sentence for sentence in theirs if sentence.strip()]
        if len(ours) == len(theirs):
            english += ours
            chinese += theirs
    return english, chinese


def training_contexts(questions: Sequence[ReadingQuestion], role: str = "train") -> list[str]:
    """Return the distinct passages of the questions of `role`, sorted."""
    return sorted({q.context for q in questions if q.role == role})
