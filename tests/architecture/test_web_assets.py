"""The page's committed assets are what its sources build: no Node is needed to see it (`make web-check` rebuilds)."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

WEB = Path(__file__).resolve().parents[2] / "app" / "web"
SOURCES = ("index.html", "package.json", "package-lock.json", "tsconfig.json", "vite.config.js")
REMEDY = "run `make web` and commit app/web/dist"


def listed(kind: str) -> dict[str, str]:
    """File → sha256 as the build noted them."""
    rows = [line.split(" ", 2) for line in (WEB / "dist" / "checksums.txt").read_text(encoding="utf-8").splitlines()]
    return {name: digest for digest, its_kind, name in rows if its_kind == kind}


def found(root: Path, files: list[Path]) -> dict[str, str]:
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_the_page_was_built_from_the_sources_that_are_here() -> None:
    sources = found(WEB, [*(WEB / name for name in SOURCES), *below(WEB / "src")])
    assert listed("source") == sources, REMEDY


def test_nobody_changed_the_built_files_by_hand() -> None:
    built = found(WEB / "dist", [path for path in below(WEB / "dist") if path.name != "checksums.txt"])
    assert listed("built") == built, REMEDY


def test_the_page_loads_nothing_from_elsewhere_and_needs_no_inline_code() -> None:
    html = (WEB / "dist" / "index.html").read_text(encoding="utf-8")
    assert re.findall(r'(?:src|href)="([^"]+)"', html), "the page names its assets"
    assert all(address.startswith("/assets/") for address in re.findall(r'(?:src|href)="([^"]+)"', html))
    assert re.findall(r"<script\b[^>]*>([^<]*)</script>", html) == [""]
    assert "<style" not in html
    assert not re.search(r"\son\w+=|\sstyle=", html)


def test_what_a_first_visit_loads_is_small() -> None:
    html = (WEB / "dist" / "index.html").read_text(encoding="utf-8")
    first = sum(
        (WEB / "dist" / name.lstrip("/")).stat().st_size for name in re.findall(r'(?:src|href)="([^"]+)"', html)
    )
    assert first < 260_000, f"{first} bytes: load what not every visit needs with import()"


def test_every_package_is_pinned_exactly() -> None:
    package = (WEB / "package.json").read_text(encoding="utf-8")
    versions = re.findall(r'"[@\w/-]+": "(\^|~|>|\*|latest)', package)
    assert versions == []
    assert (WEB / "package-lock.json").is_file()
