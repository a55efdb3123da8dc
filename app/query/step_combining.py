"""Two answers compared: which date is earlier, whether two places are of one country; the answer keeps both sources."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import replace

from app.query.steps import StepAnswer, Stepped
from app.types import Generated, PassageSpan, Prompt

_MONTHS = {
    name[:3]: number
    for number, name in enumerate(
        ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
         "december"), start=1)
}  # fmt: skip
_DAY_FIRST = re.compile(r"\b(\d{1,2})(?:st|nd|rd|th)?\s+(?:of\s+)?([A-Za-z]{3,9})\.?,?\s+(\d{3,4})\b")
_MONTH_FIRST = re.compile(r"\b([A-Za-z]{3,9})\.?\s+(?:(\d{1,2})(?:st|nd|rd|th)?,?\s+)?(\d{3,4})\b")
_ISO = re.compile(r"\b(\d{4})-(\d{2})-(\d{2})\b|(\d{4})年(?:(\d{1,2})月)?(?:(\d{1,2})[日号])?")
_YEAR = re.compile(r"\b(1\d{3}|20\d{2}|[5-9]\d{2})\b")
# names of one country: the people first, then what the country is called
_COUNTRIES = (
    "american|united states|usa|u.s.|us|america", "british|united kingdom|uk|great britain|english|england|scottish|"
    "scotland|welsh|wales", "indian|india", "french|france", "german|germany", "italian|italy", "spanish|spain",
    "canadian|canada", "australian|australia", "chinese|china", "japanese|japan", "russian|russia", "iranian|iran",
    "irish|ireland", "dutch|netherlands|holland", "belgian|belgium", "swedish|sweden", "norwegian|norway",
    "danish|denmark", "finnish|finland", "polish|poland", "austrian|austria", "swiss|switzerland", "greek|greece",
    "turkish|turkey", "mexican|mexico", "brazilian|brazil", "argentine|argentinian|argentina", "korean|south korea",
    "israeli|israel", "egyptian|egypt", "hungarian|hungary", "czech|czechia|czech republic", "romanian|romania",
    "portuguese|portugal", "ukrainian|ukraine", "pakistani|pakistan", "filipino|philippines", "indonesian|indonesia",
    "thai|thailand", "vietnamese|vietnam", "nigerian|nigeria", "south african|south africa", "new zealand",
    "serbian|serbia", "croatian|croatia", "bulgarian|bulgaria", "icelandic|iceland", "cuban|cuba", "chilean|chile",
    "colombian|colombia", "peruvian|peru", "malaysian|malaysia", "sri lankan|sri lanka", "bangladeshi|bangladesh",
)  # fmt: skip
_NAMES = {name: number for number, names in enumerate(_COUNTRIES) for name in names.split("|")}
_COUNTRY = re.compile(
    r"(?<!\w)(?:" + "|".join(re.escape(name) for name in sorted(_NAMES, key=len, reverse=True)) + r")(?!\w)"
)


def combine(stepped: Stepped) -> tuple[str, tuple[StepAnswer, StepAnswer]] | None:
    """(the answer of a comparison, the two answers that it follows from); None where they can not be compared."""
    plan = stepped.plan
    if plan.combine == "last" or len(plan.ends) != 2:
        return None
    first, second = (stepped.done[end - 1].answer for end in plan.ends)
    if not first.text or not second.text:
        return None
    if plan.combine == "same":
        same = same_place(first.text, second.text)
        return None if same is None else ("yes" if same else "no", (first, second))
    dates = [date_of(answer.text) for answer in (first, second)]
    if dates[0] is None or dates[1] is None:
        return None
    shared = min(len(dates[0]), len(dates[1]))
    left, right = dates[0][:shared], dates[1][:shared]
    if left == right:
        return None
    earlier = 0 if left < right else 1
    return plan.sides[earlier if plan.combine == "earliest" else 1 - earlier], (first, second)


def compared(stepped: Stepped, prompt: Prompt) -> Generated | None:
    """A comparison's answer, with its two sources in `prompt`; None for other plans, and where it can't be given."""
    found = combine(stepped)
    return combined_answer(*found, prompt) if found is not None else None


def date_of(text: str) -> tuple[int, ...] | None:
    """(year,), (year, month) or (year, month, day) of the first date in the text."""
    if found := _ISO.search(text):
        return tuple(int(part) for part in found.groups() if part)
    if (found := _DAY_FIRST.search(text)) and found[2][:3].lower() in _MONTHS:
        return int(found[3]), _MONTHS[found[2][:3].lower()], int(found[1])
    if (found := _MONTH_FIRST.search(text)) and found[1][:3].lower() in _MONTHS:
        rest = (int(found[2]),) if found[2] else ()
        return int(found[3]), _MONTHS[found[1][:3].lower()], *rest
    found = _YEAR.search(text)
    return (int(found[1]),) if found else None


def same_place(one: str, other: str) -> bool | None:
    """Whether two answers name the same country or the like; None where neither is known and they differ."""
    left, right = _plain(one), _plain(other)
    if left == right:
        return True
    known = [{_NAMES[name] for name in _COUNTRY.findall(text)} for text in (left, right)]
    if known[0] and known[1]:
        return bool(known[0] & known[1])
    if left.split(", ")[-1] == right.split(", ")[-1]:
        return True
    return None if not (known[0] or known[1]) and (left in right or right in left) else False


def combined_answer(text: str, parts: tuple[StepAnswer, StepAnswer], prompt: Prompt) -> Generated | None:
    """The comparison's answer as a generator would give it, its spans in `prompt`; None where a source is not in there.

    Its evidence is that of the part that is less sure.
    """
    spans = []
    for part in parts:
        span = _moved(part, prompt)
        if span is None:
            return None
        spans.append(span)
    weakest = min(parts, key=lambda part: part.confidence)
    assert weakest.generated is not None
    return replace(
        weakest.generated,
        text=text,
        spans=tuple(spans),
        answered=True,
        evidence=replace(weakest.generated.evidence, passage_mass=(), document_posterior=()),
        prompt_tokens=sum(part.generated.prompt_tokens for part in parts if part.generated),
        completion_tokens=sum(part.generated.completion_tokens for part in parts if part.generated),
    )


def _moved(part: StepAnswer, prompt: Prompt) -> PassageSpan | None:
    """The part's first span, in the passages of another prompt."""
    if part.generated is None or part.prompt is None or not part.generated.spans:
        return None
    span = part.generated.spans[0]
    source = part.prompt.passages[span.passage]
    start, end = source.char_start + span.char_start, source.char_start + span.char_end
    for number, passage in enumerate(prompt.passages):
        same = passage.hit.chunk.version_id == source.hit.chunk.version_id
        if same and passage.char_start <= start and end <= passage.char_end:
            return PassageSpan(number, start - passage.char_start, end - passage.char_start)
    return None


def _plain(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).casefold().strip(" .?!,;:'\"()")
    return " ".join(re.sub(r"^(?:the|in|from)\s+", "", folded).split())
