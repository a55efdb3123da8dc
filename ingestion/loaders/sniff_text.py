"""Which kind of text a text is, from its first 128 KiB."""

from __future__ import annotations

import csv
import json
import re
from pathlib import PurePath

TEXT = "text/plain"
MARKDOWN = "text/markdown"
HTML = "text/html"
XML = "application/xml"
CSV = "text/csv"
TSV = "text/tab-separated-values"
JSON = "application/json"
JSONL = "application/x-ndjson"
EMAIL = "message/rfc822"
MBOX = "application/mbox"

_BY_SUFFIX = {
    ".md": MARKDOWN,
    ".markdown": MARKDOWN,
    ".mdx": MARKDOWN,
    ".rmd": MARKDOWN,
    ".qmd": MARKDOWN,
    ".html": HTML,
    ".htm": HTML,
    ".xhtml": HTML,
    ".xml": XML,
    ".nxml": XML,
    ".csv": CSV,
    ".tsv": TSV,
    ".tab": TSV,
    ".json": JSON,
    ".geojson": JSON,
    ".ipynb": JSON,
    ".jsonl": JSONL,
    ".ndjson": JSONL,
    ".eml": EMAIL,
    ".mbox": MBOX,
}
# Source code and markup whose comments and tables look like Markdown's
_PLAIN_SUFFIXES_TEXT = """
    .py .pyi .sh .bash .zsh .r .rb .pl .yaml .yml .toml .ini .cfg .conf .c .h .cc .cpp .hpp .cs .java .js .jsx .ts .tsx
    .go .rs .swift .kt .scala .sql .lua .tex .rst .adoc .asciidoc .org .log .diff .patch .vtt .srt .po .css .make .cmake
"""
_PLAIN_SUFFIXES = frozenset(_PLAIN_SUFFIXES_TEXT.split())
_BY_CLAIM = {
    "text/markdown": MARKDOWN,
    "text/x-markdown": MARKDOWN,
    "text/html": HTML,
    "application/xhtml+xml": HTML,
    "text/xml": XML,
    "application/xml": XML,
    "text/csv": CSV,
    "application/csv": CSV,
    "text/tab-separated-values": TSV,
    "application/json": JSON,
    "application/x-ndjson": JSONL,
    "application/jsonl": JSONL,
    "application/x-jsonlines": JSONL,
    "message/rfc822": EMAIL,
    "application/mbox": MBOX,
}

_HTML_START = re.compile(r"(?:<\?xml[^>]*\?>\s*)?<(?:!doctype\s+html|html|head|body)\b", re.I)
_HTML_ANYWHERE = re.compile(r"<(?:html|body)[\s>]", re.I)
_HTML_TAG = re.compile(r"</?(?:p|div|h[1-6]|table|tr|td|ul|ol|li|a|span|br|img|section|article)\b[^<>]*>", re.I)
_XML_START = re.compile(r"(?:<\?xml\b|<!DOCTYPE\s+(?!html)\w)", re.I)
_XML_ROOT = re.compile(r"<([A-Za-z_][\w.:-]{0,100})(?:\s[^<>]*)?/?>")
_MAIL_FIELD = re.compile(r"([!-9;-~]+):[ \t]?(.*)")
_MAIL_KNOWN_TEXT = """
    from to cc date subject message-id mime-version received return-path reply-to delivered-to content-type sender
    dkim-signature x-mailer
"""
_MAIL_KNOWN = frozenset(_MAIL_KNOWN_TEXT.split())
_MD_EVIDENCE = (
    re.compile(r"^#{1,6} +\S", re.M),
    re.compile(r"^(```|~~~)", re.M),
    re.compile(r"\[[^\[\]\n]{1,200}\]\([^)\s]{1,500}\)"),
    re.compile(r"(?<![*\w])\*\*[^*\s][^*\n]*\*\*"),
    re.compile(r"^\|?[ :]*-{3,}[ :]*\|[ :|-]*$", re.M),
    re.compile(r"^[-*+] +\S", re.M),
    re.compile(r"^\d{1,3}\. +\S", re.M),
    re.compile(r"`[^`\n]+`"),
    re.compile(r"^> \S", re.M),
    re.compile(r"^[^\n]+\n(=|-){3,}$", re.M),
)


def hint(filename: str | None, media_type: str | None) -> str | None:
    """What name and claim say: one of this module's media types, `text/plain` for source code, or `None`.

    The name goes before the claim: browsers and proxies often claim `text/plain` or `application/octet-stream`.
    """
    suffix = PurePath(filename).suffix.lower() if filename else ""
    if suffix in _BY_SUFFIX:
        return _BY_SUFFIX[suffix]
    if suffix in _PLAIN_SUFFIXES:
        return TEXT
    claim = (media_type or "").partition(";")[0].strip().lower()
    return _BY_CLAIM.get(claim)


def sniff_text(text: str, *, hint: str | None, whole: bool) -> str:
    """The media type of `text`; `whole` says that it is all of the file, `hint` breaks ties."""
    if hint == TEXT:
        return TEXT
    text = text.lstrip("\ufeff")
    if (kind := _mail(text, hint)) is not None:
        return kind
    if (kind := _markup(text, hint)) is not None:
        return kind
    if (kind := _json(text, hint, whole)) is not None:
        return kind
    if hint in (CSV, TSV):
        return hint if _looks_delimited(text, hint, sure=True) else TEXT
    if hint == MARKDOWN:
        return MARKDOWN
    if (kind := _delimited(text)) is not None:
        return kind
    headings = bool(_MD_EVIDENCE[0].search(text))
    evidence = sum(bool(pattern.search(text)) for pattern in _MD_EVIDENCE)
    return MARKDOWN if evidence >= (2 if headings else 3) else TEXT


def _mail(text: str, hint: str | None) -> str | None:
    if text.startswith("From ") and re.match(r"From \S+.*\d{4}\s*\n[!-9;-~]+:", text):
        return MBOX
    fields: set[str] = set()
    for line in text.split("\n")[:200]:
        line = line.rstrip("\r")
        if not line:
            break
        if line[0] in " \t" and fields:
            continue
        match = _MAIL_FIELD.match(line)
        if match is None:
            return None
        fields.add(match[1].lower())
    known = fields & _MAIL_KNOWN
    if (len(known) >= 3 and "from" in fields) or (hint == EMAIL and len(known) >= 2):
        return EMAIL
    if {"message-id", "received", "mime-version"} & known and len(known) >= 3:
        return EMAIL
    return None


def _markup(text: str, hint: str | None) -> str | None:
    if text[:200].lstrip().startswith("<"):
        text = _after_comments(text)
    if _HTML_START.match(text):
        return HTML
    if not text.startswith("<"):
        return HTML if hint == HTML and _HTML_TAG.search(text) else None
    if _XML_START.match(text):
        return HTML if _HTML_ANYWHERE.search(text[:4096]) else XML
    if hint in (HTML, XML):
        return hint
    if hint != MARKDOWN and len(_HTML_TAG.findall(text[:20_000])) >= 4:
        return HTML
    root = _XML_ROOT.match(text)
    if hint is None and root is not None and f"</{root[1]}>" in text[-200:]:
        return XML
    return None


def _after_comments(text: str) -> str:
    text = text.lstrip()
    while text.startswith("<!--") and (end := text.find("-->", 4)) >= 0:
        text = text[end + 3 :].lstrip()
    return text


def _json(text: str, hint: str | None, whole: bool) -> str | None:
    body = text.strip()
    if body[:1] not in ("{", "["):
        return hint if hint == JSONL and _is_json(body.partition("\n")[0]) else None
    lines = [line for line in body.split("\n", 64) if line.strip()]
    if len(lines) > 1 and all(_is_json(line) for line in lines[: 3 if whole else 2]):
        return JSONL
    if hint in (JSON, JSONL):
        return hint
    if whole:
        return JSON if _is_json(body) else None
    if re.match(r"\{\s*\"|\[\s*[\[{\"\d\-tfn]", body):
        return JSON
    return None


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _delimited(text: str) -> str | None:
    for kind in (TSV, CSV):
        if _looks_delimited(text, kind, sure=False):
            return kind
    return None


def _looks_delimited(text: str, kind: str, *, sure: bool) -> bool:
    """Whether the lines of `text` are rows of one width; without a hint (`sure`) at least 4 of 3 short cells."""
    lines = [line for line in text.split("\n") if line.strip()][:60]
    if not sure and len(lines) > 59:
        lines = lines[:-1]
    for delimiter in "\t" if kind == TSV else ",;|" if not sure else ",;|\t":
        try:
            rows = [row for row in csv.reader(lines, delimiter=delimiter) if row]
        except csv.Error:
            continue
        widths = [len(row) for row in rows]
        if sure:
            if sum(width >= 2 for width in widths) >= len(widths) * 0.5:
                return True
            continue
        cells = [cell for row in rows for cell in row]
        if (
            len(rows) >= 4
            and min(widths) == max(widths) >= 3
            and sum(map(len, cells)) / len(cells) < 40
            and not any(line.startswith("|") for line in lines)
        ):
            return True
    return sure and kind == CSV and all(len(line) <= 200 for line in lines)  # a table of one column
