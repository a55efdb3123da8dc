"""Bytes → text: byte-order marks, UTF-8, the declared charset, then detection; and what is never in a text."""

from __future__ import annotations

import codecs
import re

from charset_normalizer import from_bytes

_BOMS = (  # UTF-32 first: its little-endian mark starts with UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CANDIDATES = [
    "gb18030",
    "big5",
    "cp932",
    "euc_jp",
    "euc_kr",
    "cp1252",
    "cp1251",
    "koi8_r",
    "cp1250",
    "cp1253",
    "cp1255",
    "cp1256",
]
_SAMPLE_BYTES = 64 * 1024

# C0 (but tab and newline), DEL, C1, soft hyphen, byte-order mark, noncharacters
_REMOVED = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\ufeff\ufdd0-\ufdef\ufffe\uffff]")
_LINE_ENDS = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
_SURROGATE = re.compile("[\ud800-\udfff]")

# The commonest characters of running text; a wrong multi-byte guess decodes into rare ones.
_COMMON = {
    "gb18030": frozenset(
        "的一是不了在人有我他这中大来上国个到说们为子和你地出道也时年得就那要下以生会自着去之过家学对可里后小么，。、"
    ),
    "big5": frozenset(
        "的一是不了在人有我他這中大來上國個到說們為子和你地出道也時年得就那要下以生會自著去之過家學對可裡後小麼，。、"
    ),
    "cp932": frozenset(map(chr, range(0x3041, 0x30FF))) | frozenset("、。・"),
    "euc_jp": frozenset(map(chr, range(0x3041, 0x30FF))) | frozenset("、。・"),
    "euc_kr": frozenset("이다는의에을가은하고를지한로도기사어자리시정대인나아그수"),
}
_WESTERN = frozenset("àâäáãåæçéèêëíìîïñóòôöõøœúùûüßÀÂÄÁÃÅÆÇÉÈÊËÍÎÏÑÓÔÖØŒÚÙÛÜ‘’“”„«»‹›–—…·•°§€£©®™\xa0¿¡º")


def clean_text(text: str) -> str:
    r"""`text` with `\n` line ends and without NUL, control characters, soft hyphens, byte-order marks, lone surrogates.

    Everything else stays as it is; in particular nothing is normalised to NFC, so that a quote is what the source says.
    """
    text = _LINE_ENDS.sub("\n", text)
    text = _REMOVED.sub("", text)
    if _SURROGATE.search(text):
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def decode(data: bytes, declared: str | None = None) -> tuple[str, str]:
    """(text, encoding) by byte-order mark, UTF-16's zero bytes, UTF-8, `declared`, then detection; never fails."""
    for bom, encoding in _BOMS:
        if data.startswith(bom):
            return data.decode(encoding, "replace"), encoding.removesuffix("-sig")
    if (wide := _utf16_without_mark(data)) is not None:
        return data.decode(wide, "replace"), wide
    for claimed in ("utf-8", declared):
        if claimed and (text := _strict(data, claimed)) is not None:
            return text, claimed.lower()
    guessed = _detect(data)
    return data.decode(guessed, "replace"), guessed


def _strict(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except (UnicodeDecodeError, LookupError, ValueError):
        return None


def _utf16_without_mark(data: bytes) -> str | None:
    sample = data[:4096]
    if len(sample) < 4 or b"\0" not in sample:
        return None
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    half = len(sample) // 2
    if odd > half * 0.4 and even < half * 0.05:
        return "utf-16-le"
    if even > half * 0.4 and odd < half * 0.05:
        return "utf-16-be"
    return None


def _detect(data: bytes) -> str:
    """The most likely legacy encoding of `data`, which is not UTF-8."""
    sample = _whole_characters(data[:_SAMPLE_BYTES])
    high = sum(byte >= 0x80 for byte in sample)
    if high < 4 and _strict(sample, "cp1252") is not None:  # too little evidence for anything rarer
        return "cp1252"
    best, best_share = "", 0.0
    for encoding, common in _COMMON.items():
        text = _strict(sample, encoding) or (_strict(sample[:-1], encoding) if len(data) > len(sample) else None)
        if text is None:
            continue
        wide = [char for char in text if ord(char) >= 0x80]
        share = sum(char in common for char in wide) / max(1, len(wide))
        if share > best_share:
            best, best_share = encoding, share
    if best_share >= 0.08:
        return best
    western = _strict(sample, "cp1252")
    if western is not None:
        wide = [char for char in western if ord(char) >= 0x80]
        if len(wide) < 0.3 * len(western) and sum(char in _WESTERN for char in wide) >= 0.95 * len(wide):
            return "cp1252"
    match = from_bytes(sample, cp_isolation=_CANDIDATES).best()
    if match is not None:
        return str(match.encoding)
    return "cp1252" if _strict(data, "cp1252") is not None else "latin-1"


def _whole_characters(sample: bytes) -> bytes:
    """`sample` cut after its last line end, so that no multi-byte character is halved."""
    if len(sample) < _SAMPLE_BYTES:
        return sample
    cut = sample.rfind(b"\n")
    return sample[: cut + 1] if cut > _SAMPLE_BYTES // 2 else sample
