"""XML without entities, DTDs, network or unbounded nesting."""

from __future__ import annotations

from typing import Any

from lxml import etree

from app.errors import UnreadableDocument


def parse_xml(data: bytes, what: str, *, recover: bool = False) -> Any:
    """The root element of `data`; comments and processing instructions dropped, entities never expanded.

    Raises:
        UnreadableDocument: `corrupt` when it is not well-formed (unless `recover` finds a root), naming `what`.
    """
    parser = etree.XMLParser(
        resolve_entities=False,
        load_dtd=False,
        no_network=True,
        dtd_validation=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
        recover=recover,
    )
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise _corrupt(what, str(error)) from error
    if root is None:
        raise _corrupt(what, "no root element")
    return root


def local_name(element: Any) -> str:
    """The element's tag without its namespace, lower-case; "" for entities and other nodes that are no elements."""
    tag = element.tag
    return tag.rpartition("}")[2].lower() if isinstance(tag, str) else ""


def _corrupt(what: str, seen: str) -> UnreadableDocument:
    return UnreadableDocument(
        f"the XML of {what} is damaged ({seen}); save the file again from its application", code="corrupt"
    )
