"""Addresses that go to programs which make links of them."""

from __future__ import annotations

import re

_WEB = re.compile(r"https?://[^\s\x00-\x1f]+", re.IGNORECASE)


def web_address(url: str | None) -> str | None:
    """`url` where it is one of the web, else None: a document's address is whatever its uploader wrote."""
    return url if url is not None and _WEB.fullmatch(url) else None
