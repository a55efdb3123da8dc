"""E-mail (.eml) and mailboxes (.mbox): subject, who, when, and the body; attachments are named, not read."""

from __future__ import annotations

import mailbox
import re
from email import message_from_bytes, policy
from email.message import Message
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from app.errors import UnreadableDocument
from app.types import LoadedDocument
from ingestion.loaders.builder import TextBuilder, check_chars, check_pages
from ingestion.loaders.encoding import decode
from ingestion.loaders.limits import LoadLimits
from ingestion.loaders.text import text_blocks

_MBOX = "application/mbox"
_SHOWN = ("From", "To", "Cc", "Date")
_SPACE = re.compile(r"\s+")


def load_mail(path: Path, media_type: str, limits: LoadLimits) -> LoadedDocument:
    """A message a section, headed by its subject; the plain body where there is one, else the HTML one."""
    builder = TextBuilder("e-mail", limits)
    if media_type != _MBOX:
        if path.stat().st_size > 64 * limits.text_chars:
            check_chars(limits.text_chars + 1, "e-mail", limits)
        return _single(builder, message_from_bytes(path.read_bytes(), policy=policy.default), media_type)
    box = mailbox.mbox(str(path), create=False)
    try:
        count = 0
        for key in box.iterkeys():
            count += 1
            check_pages(count, "e-mail", limits)
            _add_message(builder, message_from_bytes(box.get_bytes(key), policy=policy.default))
    finally:
        box.close()
    return builder.build(media_type, metadata={"messages": count})


def _single(builder: TextBuilder, message: Message, media_type: str) -> LoadedDocument:
    subject = _add_message(builder, message)
    metadata: dict[str, Any] = {"author": _header(message, "From"), "to": _header(message, "To")}
    sent = _header(message, "Date")
    try:
        metadata["created"] = parsedate_to_datetime(sent).isoformat() if sent else None
    except (ValueError, TypeError, IndexError):
        metadata["created"] = sent
    return builder.build(media_type, title=subject or None, metadata=metadata)


def _header(message: Message, name: str) -> str:
    """The header decoded, on one line; as it stands when it cannot be decoded."""
    try:
        value = message.get(name)
    except (ValueError, TypeError, IndexError, AttributeError, KeyError):  # the parser trips over malformed addresses
        value = next((raw for key, raw in message.raw_items() if key.lower() == name.lower()), "")
    return _SPACE.sub(" ", str(value or "")).strip()


def _add_message(builder: TextBuilder, message: Message) -> str:
    subject = _header(message, "Subject")
    builder.add("heading", subject or "(no subject)", 1)
    shown = [f"{name}: {value}" for name in _SHOWN if (value := _header(message, name))]
    builder.add("paragraph", "\n".join(shown))
    plain, pages, attachments = _parts(message)
    if any(text.strip() for text in plain):
        for text in plain:
            for block in text_blocks(text):
                kind = "paragraph" if block.kind == "heading" else block.kind
                builder.add(kind, text[block.char_start : block.char_end])
    else:
        from ingestion.loaders.html import html_blocks

        for page in pages:
            html_blocks(builder, page, shift=1)
    if attachments:
        builder.warnings.append(
            f"attachments were not read, upload them on their own: {', '.join(attachments[:20])}"
            + (f" and {len(attachments) - 20} more" if len(attachments) > 20 else "")
        )
    return subject


def _parts(message: Message) -> tuple[list[str], list[bytes], list[str]]:
    """(plain bodies, HTML bodies in UTF-8, names of attachments) of all parts; forwarded messages count as bodies."""
    plain: list[str] = []
    pages: list[bytes] = []
    attachments: list[str] = []
    for part in message.walk():
        if part.is_multipart():
            continue
        kind = part.get_content_type()
        name = _filename(part)
        if part.get_content_disposition() == "attachment" or name or not kind.startswith("text/"):
            if kind != "message/rfc822":
                attachments.append(name or kind)
            continue
        if kind not in ("text/plain", "text/html"):
            attachments.append(kind)
            continue
        text = _body(part)
        if kind == "text/html":
            pages.append(text.encode("utf-8", "replace"))
        else:
            plain.append(text)
    return plain, pages, attachments


def _filename(part: Message) -> str:
    try:
        return _SPACE.sub(" ", part.get_filename() or "")
    except (ValueError, TypeError, IndexError, AttributeError, KeyError):
        return "unnamed"


def _body(part: Message) -> str:
    payload = part.get_payload(decode=True)
    if not isinstance(payload, bytes):
        raise UnreadableDocument("a part of the e-mail has no body; export the message again", code="corrupt")
    text, _ = decode(payload, part.get_content_charset())
    return text.replace("\r\n", "\n")
