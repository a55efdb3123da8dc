"""Whether a guess of the reader counts as right, as wrong, or as neither: then it is not learned from."""

from __future__ import annotations

import re
from collections.abc import Sequence

from app.evaluation.metrics import f1, normalize_answer
from app.training.verifier.perturb_zh import is_chinese

RIGHT_F1 = 0.5
"""As the calibrator counts: right from this F1 on. An answer that shares no word is wrong; the rest is unused."""
_CHINESE_WRONG_F1 = 0.3
"""Chinese words that differ share characters (北京大学, 中国大学): below this F1 by characters they are apart."""
_DIGITS = re.compile(r"\d+")


def agrees(guess: str, answers: Sequence[str]) -> bool:
    """Return whether a guess says what an accepted answer does.

    In Chinese more than half must be shared and a number, too: 千年 and 2003年 share every second token with 1998年.
    """
    if not is_chinese(guess + "".join(answers)):
        return bool(answers) and f1(guess, answers) >= RIGHT_F1
    return any(f1(guess, [answer]) > RIGHT_F1 and not _numbers_differ(guess, answer) for answer in answers)


def apart(guess: str, answers: Sequence[str]) -> bool:
    """Return whether a guess has nothing to do with any accepted answer: no word of it, in Chinese hardly a character.

    A part of an accepted answer is not apart from it, nor what it is a part of.
    """
    if not is_chinese(guess + "".join(answers)):
        words = set(normalize_answer(guess).split())
        return bool(words) and not any(words & set(normalize_answer(answer).split()) for answer in answers)
    bare = _bare(guess)
    return bool(bare) and all(
        _numbers_differ(guess, answer)
        or (f1(guess, [answer]) < _CHINESE_WRONG_F1 and bare not in _bare(answer) and _bare(answer) not in bare)
        for answer in answers
    )


def _numbers_differ(guess: str, answer: str) -> bool:
    """Whether both have numbers and none is in both."""
    ours, theirs = set(_DIGITS.findall(guess)), set(_DIGITS.findall(answer))
    return bool(ours) and bool(theirs) and not ours & theirs


def _bare(text: str) -> str:
    return normalize_answer(text).replace(" ", "")
