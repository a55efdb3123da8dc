"""Text of pictures through the tesseract command line, where it is installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from functools import lru_cache
from pathlib import Path

from app.errors import UnreadableDocument
from app.types import BlockKind
from ingestion.loaders.builder import TextBuilder
from ingestion.loaders.encoding import clean_text

REMEDY = "install the system packages tesseract-ocr and, for Chinese, tesseract-ocr-chi-sim"
_PREFERRED = (("chi_sim", "eng"), ("eng",), ("chi_sim",))
_CJK_GAP = re.compile(
    r"(?<=[\u3000-\u303f\u4e00-\u9fff\uff00-\uffef])[ \t]+(?=[\u3000-\u303f\u4e00-\u9fff\uff00-\uffef])"
)


def executable() -> str | None:
    """Path of tesseract, or `None` where it is not installed."""
    return shutil.which("tesseract")


@lru_cache(maxsize=4)
def languages(command: str) -> str:
    """The `-l` argument: Simplified Chinese with English where both are installed, else what there is.

    Raises:
        UnreadableDocument: `no_text` when tesseract has no language data at all.
    """
    listed = subprocess.run(
        [command, "--list-langs"], capture_output=True, check=False, timeout=30, stdin=subprocess.DEVNULL
    )
    lines = listed.stdout.decode("utf-8", "replace").split("\n")[1:]
    names = {line.strip() for line in lines if line.strip()} - {"osd", "equ"}
    for wanted in _PREFERRED:
        if names.issuperset(wanted):
            return "+".join(wanted)
    if not names:
        raise UnreadableDocument(f"tesseract has no language data; {REMEDY}", code="no_text")
    return min(names)


def read_picture(picture: bytes | Path, timeout_s: float) -> str:
    """Text of one picture (a file, or the bytes of one); pages of a TIFF are a form feed apart.

    Raises:
        UnreadableDocument: `no_text` when tesseract is not installed; `corrupt` when it cannot read the picture or
            needs more than `timeout_s` seconds.
    """
    command = executable()
    if command is None:
        raise UnreadableDocument(f"the text is in pictures and tesseract is not installed; {REMEDY}", code="no_text")
    source = "stdin" if isinstance(picture, bytes) else str(picture)
    try:
        done = subprocess.run(
            [command, source, "stdout", "-l", languages(command)],
            input=picture if isinstance(picture, bytes) else b"",
            capture_output=True,
            timeout=timeout_s,
            check=False,
            env={**os.environ, "OMP_THREAD_LIMIT": "1"},  # its threads slow each other down, and the readers' too
        )
    except subprocess.TimeoutExpired as error:
        raise UnreadableDocument(
            f"OCR of one picture took more than {timeout_s:g} s; upload a smaller scan", code="corrupt"
        ) from error
    if done.returncode != 0:
        raise UnreadableDocument("OCR could not read the picture; save it as PNG and upload that", code="corrupt")
    return done.stdout.decode("utf-8", "replace")


def add_recognised(builder: TextBuilder, text: str) -> bool:
    """Appends recognised text as paragraphs, its wrapped lines kept; true when there was any."""
    before = len(builder)
    for paragraph in re.split(r"\n\s*\n", clean_text(text)):
        kind: BlockKind = "paragraph"
        builder.add(kind, _CJK_GAP.sub("", paragraph))
    return len(builder) > before
