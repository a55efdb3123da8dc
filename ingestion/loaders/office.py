"""What DOCX, PPTX and XLSX share: parts, relationships and document properties of an Office package."""

from __future__ import annotations

import posixpath
from typing import Any

from ingestion.loaders.archive import Archive
from ingestion.loaders.safe_xml import local_name, parse_xml


def attribute(element: Any, name: str) -> str | None:
    """The attribute by its local name, whichever of the two Office namespaces (transitional, strict) it is in."""
    for key, value in element.attrib.items():
        if key.rpartition("}")[2] == name:
            return str(value)
    return None


def child(element: Any, name: str) -> Any:
    """The first child with that local name (lower-case), or `None`."""
    for node in element:
        if local_name(node) == name:
            return node
    return None


def children(element: Any, name: str) -> list[Any]:
    """All children with that local name (lower-case)."""
    return [node for node in element if local_name(node) == name]


class Package:
    """An Office archive read by part name (`word/document.xml`, no leading slash)."""

    def __init__(self, archive: Archive, format_name: str) -> None:
        self._archive = archive
        self._format = format_name

    def part(self, name: str) -> Any:
        """The part's root element, or `None` when the package has no such part."""
        data = self._archive.read(name)
        return None if data is None else parse_xml(data, f"the {self._format} part {name!r}")

    def relations(self, name: str) -> dict[str, tuple[str, str]]:
        """Relation id → (last word of its type, target part) of the part `name` ("" for the package); none external."""
        folder, base = posixpath.split(name)
        root = self.part(posixpath.join(folder, "_rels", f"{base}.rels"))
        found: dict[str, tuple[str, str]] = {}
        for node in root if root is not None else ():
            if node.get("TargetMode") == "External" or not node.get("Target"):
                continue
            target = node.get("Target")
            path = target.lstrip("/") if target.startswith("/") else posixpath.normpath(posixpath.join(folder, target))
            found[node.get("Id") or ""] = ((node.get("Type") or "").rpartition("/")[2], path)
        return found

    def main_part(self, default: str) -> str:
        """The package's main part, `default` when its relations do not say."""
        for kind, target in self.relations("").values():
            if kind == "officeDocument":
                return target
        return default

    def properties(self) -> dict[str, str]:
        """title, author, created, language of the core properties, as far as they are filled in."""
        root = self.part("docProps/core.xml")
        names = {
            "title": "title",
            "creator": "author",
            "created": "created",
            "language": "language",
            "subject": "subject",
        }
        fields: dict[str, str] = {}
        for node in root if root is not None else ():
            name = names.get(local_name(node))
            value = " ".join((node.text or "").split())
            if name and value:
                fields[name] = value.partition("-")[0].lower() if name == "language" else value[:1000]
        return fields
