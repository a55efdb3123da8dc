"""Yes-or-no fields: "audited", "non-confidential", "out of stock", 未经审计."""

from __future__ import annotations

import re

from app.query.construction.conditions import Part
from app.query.construction.fields import Field, FieldSchema, name_parts, stem

_PREFIXES = ("is", "has", "was", "are", "can")
_ANTONYMS = {
    "in stock": ("out of stock", "sold out", "unavailable"),
    "valid": ("invalid", "expired"),
    "active": ("inactive",),
    "public": ("private",),
    "有效": ("无效", "失效", "作废"),
    "公开": ("不公开", "非公开"),
}
_CHINESE_NAMES = {
    "audited": ("经过审计", "审计过", "已审计"),
    "confidential": ("机密", "保密"),
    "in stock": ("有货", "有现货", "现货"),
    "open access": ("开放获取",),
    "active": ("有效", "激活"),
    "public": ("公开",),
}
_NOT = re.compile(
    r"(?:\b(?:not|non|no|isn't|aren't|without|never|n't)[\s-]+(?:yet\s+|been\s+|the\s+)?|\bun|\bin|\bnon)$", re.I
)
_CHINESE_NOT = re.compile(r"(?:不是|没有|未经|未|不|非|无|没)(?:经过|有|被)?$")


def find_flags(question: str, schema: FieldSchema) -> list[Part]:
    """One condition for every boolean field that the question names, true or false."""
    return [part for field in schema.fields if field.type == "boolean" and (part := _flag(question, field))]


def _flag(question: str, field: Field) -> Part | None:
    parts = [part for part in name_parts(field.name) if part not in _PREFIXES] or name_parts(field.name)
    name = " ".join(parts)
    for opposite in _ANTONYMS.get(name, ()):
        if match := re.search(_phrase(opposite), question, re.IGNORECASE):
            return Part(field.name, {"eq": False}, match.start(), match.end(), 1.0)
    for spoken in (name, *_CHINESE_NAMES.get(name, ())):
        for match in re.finditer(_phrase(spoken, inside=True), question, re.IGNORECASE):
            said = match.group("said")
            if spoken == name and name.isascii() and len(parts) == 1 and stem(said) != stem(name):
                continue
            before = question[: match.start("said")]
            negative = _NOT.search(before) if name.isascii() else None
            negative = negative or _CHINESE_NOT.search(before)
            start = negative.start() if negative else match.start("said")
            if not negative and before[-1:].isalpha() and before[-1:].isascii() and spoken.isascii():
                continue  # in the middle of another word
            return Part(
                field.name, {"eq": negative is None}, start, match.end("said"), 1.0 if negative is None else 0.95
            )
    return None


def _phrase(text: str, inside: bool = False) -> str:
    """The words in order, joined by space or hyphen; `inside` lets a negative prefix stand before them."""
    if not text.isascii():
        return f"(?P<said>{re.escape(text)})"
    words = r"[\s-]+".join(map(re.escape, text.split()))
    return rf"{'' if inside else chr(92) + 'b'}(?P<said>{words})\b"
