"""The numbers that Word shows in front of paragraphs but does not store in them: `3.2`, `(a)`, `第二条`."""

from __future__ import annotations

import re
from typing import Any

from ingestion.loaders.office import attribute, child, children

_PLACE = re.compile(r"%([1-9])")
_DIGITS = "零一二三四五六七八九"
_ROMAN = (
    (1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"),
    (50, "l"), (40, "xl"), (10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i"),
)  # fmt: skip


class Numbering:
    """Counts the paragraphs of each list as Word does. `root` is numbering.xml's root, or `None`."""

    def __init__(self, root: Any) -> None:
        self._levels: dict[str, dict[int, tuple[str, str, int]]] = {}  # list id → level → (format, text, start)
        self._abstract_of: dict[str, str] = {}
        self._counts: dict[str, list[int | None]] = {}
        if root is None:
            return
        abstract = {attribute(node, "abstractNumId") or "": _levels(node) for node in children(root, "abstractnum")}
        for node in children(root, "num"):
            list_id = attribute(node, "numId") or ""
            base = child(node, "abstractnumid")
            name = (attribute(base, "val") or "") if base is not None else ""
            overrides = children(node, "lvloverride")
            self._levels[list_id] = abstract.get(name, {})
            self._abstract_of[list_id] = name if not overrides else f"{name}/{list_id}"

    def label(self, place: tuple[str, int]) -> str:
        """The number of the next paragraph of `place` (list id, level); "" for bullets and unknown lists."""
        list_id, level = place
        levels = self._levels.get(list_id, {})
        if level not in levels or not 0 <= level < 9:
            return ""
        kind, text, start = levels[level]
        counts = self._counts.setdefault(self._abstract_of[list_id], [None] * 9)
        previous = counts[level]
        counts[level] = start if previous is None else previous + 1
        counts[level + 1 :] = [None] * (8 - level)
        if kind in ("bullet", "none"):
            return ""

        def shown(match: re.Match[str]) -> str:
            index = int(match[1]) - 1
            other_kind, _, other_start = levels.get(index, ("decimal", "", 1))
            count = counts[index]
            return numeral(other_start if count is None else count, other_kind)

        return _PLACE.sub(shown, text).strip()


def _levels(abstract: Any) -> dict[int, tuple[str, str, int]]:
    found: dict[int, tuple[str, str, int]] = {}
    for node in children(abstract, "lvl"):
        values = {}
        for name in ("numfmt", "lvltext", "start"):
            element = child(node, name)
            values[name] = (attribute(element, "val") or "") if element is not None else ""
        number = attribute(node, "ilvl") or "0"
        if number.isdigit():
            start = int(values["start"]) if values["start"].isdigit() else 1
            found[int(number)] = (values["numfmt"] or "decimal", values["lvltext"], start)
    return found


def numeral(count: int, kind: str) -> str:
    """`count` in one of Word's number formats; digits for those not known."""
    if kind in ("lowerLetter", "upperLetter") and count > 0:
        letter = chr(ord("a") + (count - 1) % 26) * min(10, (count - 1) // 26 + 1)
        return letter if kind == "lowerLetter" else letter.upper()
    if kind in ("lowerRoman", "upperRoman") and 0 < count < 4000:
        parts = []
        for value, symbol in _ROMAN:
            parts.append(symbol * (count // value))
            count %= value
        return "".join(parts) if kind == "lowerRoman" else "".join(parts).upper()
    if (
        kind in ("chineseCounting", "chineseCountingThousand", "japaneseCounting", "ideographDigital")
        and 0 < count < 1000
    ):
        return _chinese(count)
    if kind == "decimalZero":
        return f"{count:02d}"
    return str(count)


def _chinese(count: int) -> str:
    hundreds, rest = divmod(count, 100)
    tens, ones = divmod(rest, 10)
    text = f"{_DIGITS[hundreds]}百" if hundreds else ""
    if tens:
        text += ("" if tens == 1 and not hundreds else _DIGITS[tens]) + "十"
    elif hundreds and ones:
        text += "零"
    return text + (_DIGITS[ones] if ones else "")
