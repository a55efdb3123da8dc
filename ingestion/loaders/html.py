"""HTML: the main text without menus, as blocks; whole when the page has no menus to lose."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

from lxml import etree
from lxml import html as lxml_html

from app.errors import UnreadableDocument
from app.types import LoadedDocument
from ingestion.loaders.builder import TextBuilder
from ingestion.loaders.encoding import clean_text, decode
from ingestion.loaders.html_blocks import HtmlBlocks, visible_text
from ingestion.loaders.limits import LoadLimits
from ingestion.loaders.safe_xml import local_name
from ingestion.loaders.text import read_text

_META_CHARSET = re.compile(
    rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([\w.:-]+)|<\?xml[^>]{0,100}encoding=[\"']([\w.:-]+)", re.I
)
_EXTRACT_BYTES = 8 * 2**20  # past this, main-text extraction takes minutes; the whole page is kept instead
_EXTRACT_DEPTH = 240  # trafilatura's parser drops what lies deeper
_LEAST_CHARS = 200
_BOILERPLATE = "//nav | //aside | //footer | //*[@role='navigation'] | //form[.//input]"
_UNSEEN = re.compile(r"<(script|style|noscript|template|svg)\b.*?(?:</\1\s*>|$)|<!--.*?(?:-->|$)", re.I | re.S)
_SOFT_TAGS = re.compile(
    r"</?(?:div|span|font|b|i|u|em|strong|small|big|center|a|section|article|blockquote)\b[^<>]*>", re.I
)
_ALL_TAGS = re.compile(r"</?(?!p\b|h[1-6]\b)[a-z][^<>]*>", re.I)
_TEI = {"list": "ul", "item": "li", "row": "tr", "quote": "blockquote", "lb": "br", "hi": "b", "ref": "a", "del": "s"}

logging.getLogger("trafilatura").setLevel(logging.CRITICAL)  # it logs page text on odd input


def load_html(path: Path, media_type: str, limits: LoadLimits) -> LoadedDocument:
    """Main text of the page; title, author, date and language from its head."""
    with path.open("rb") as stream:
        head = stream.read(8192)
    text, metadata, warnings = read_text(path, "HTML", limits, declared_charset(head))
    tree = parse_html(text)
    if tree is None:
        raise UnreadableDocument("the HTML file holds no element; upload it as .txt to keep it as text", code="corrupt")
    builder = TextBuilder("HTML", limits)
    builder.warnings.extend(warnings)
    fields = head_fields(tree)
    if not is_plain(tree) and len(text) <= _EXTRACT_BYTES:
        _add_main_text(builder, text)
    if len(builder) < _LEAST_CHARS:
        whole = TextBuilder("HTML", limits)
        HtmlBlocks(whole).add(tree)
        if len(whole) > 4 * len(builder):
            whole.warnings.extend(builder.warnings)
            builder = whole
    title = fields.pop("title", None)
    return builder.build(media_type, title=title, metadata={**metadata, **fields})


def declared_charset(head: bytes) -> str | None:
    """The charset that a page's first bytes claim."""
    match = _META_CHARSET.search(head)
    return (match[1] or match[2]).decode("ascii", "replace") if match else None


def parse_html(text: str) -> Any:
    """The tree of `text`, or `None` when there is no element; comments dropped, nothing fetched.

    The parser gives up 2,048 elements down, silently; tags without structure, then all but paragraphs, are dropped
    from a page that is deeper (mostly tags never closed), so that its text is not lost.
    """
    markup = clean_text(text)
    tree = None
    for dropped in (None, _SOFT_TAGS, _ALL_TAGS):
        if dropped is not None:
            markup = dropped.sub(" ", _UNSEEN.sub(" ", markup))
        parser = lxml_html.HTMLParser(
            encoding="utf-8", recover=True, no_network=True, huge_tree=True, remove_comments=True, remove_pis=True
        )
        try:
            tree = lxml_html.document_fromstring(markup.encode("utf-8"), parser=parser)
        except (etree.ParserError, etree.XMLSyntaxError):
            return None
        if not any("depth" in entry.message for entry in parser.error_log):
            break
    return tree


def html_blocks(builder: TextBuilder, data: bytes, shift: int = 0) -> None:
    """Appends the blocks of the HTML in `data`: a chapter, a mail's body."""
    text, _ = decode(data, declared_charset(data[:8192]))
    tree = parse_html(text)
    if tree is not None:
        HtmlBlocks(builder, shift).add(tree)


def is_plain(tree: Any) -> bool:
    """True for a page that is only its document (no menus, side bars, footers, few links) or too deep to be sorted."""
    if tree.xpath(f"boolean(//*[count(ancestor::*) > {_EXTRACT_DEPTH}])"):
        return True
    if tree.xpath(f"boolean({_BOILERPLATE})"):
        return False
    total = len(visible_text(tree).strip())
    linked = sum(len(link.text_content()) for link in tree.iter("a"))
    return linked <= total * 0.35 and len(tree.xpath("//script[@src]")) < 3


def head_fields(tree: Any) -> dict[str, str]:
    """title, author, created, language, description of a page, as far as its head names them."""
    fields: dict[str, str] = {}

    def put(name: str, value: str | None) -> None:
        value = " ".join((value or "").split())
        if value and name not in fields:
            fields[name] = value[:1000]

    meta: dict[str, str] = {}
    for node in tree.iter("meta"):
        name = (node.get("property") or node.get("name") or node.get("itemprop") or "").strip().lower()
        if name and node.get("content"):
            meta.setdefault(name, node.get("content"))
    for name in ("og:title", "citation_title", "dc.title", "twitter:title"):
        put("title", meta.get(name))
    for node in tree.iter("title"):
        if local_name(node.getparent()) in ("head", "html"):
            put("title", node.text_content())
    for name in ("author", "article:author", "dc.creator", "citation_author"):
        if not (meta.get(name) or "").startswith("http"):
            put("author", meta.get(name))
    for name in ("article:published_time", "datepublished", "date", "dc.date", "citation_publication_date"):
        put("created", meta.get(name))
    for node in tree.iter("h1"):
        put("title", visible_text(node))
    put("description", meta.get("description") or meta.get("og:description"))
    language = (tree.get("lang") or tree.get("{http://www.w3.org/XML/1998/namespace}lang") or "").strip()
    put("language", language.partition("-")[0].lower())
    return fields


def _add_main_text(builder: TextBuilder, text: str) -> None:
    from trafilatura import bare_extraction

    try:
        extracted = bare_extraction(
            text,
            include_comments=False,
            include_tables=True,
            include_images=False,
            include_links=False,
            with_metadata=False,
        )
    except Exception as error:  # noqa: BLE001 - whatever it stumbles over, the whole page is still there
        builder.warnings.append(f"the main text could not be told from the menus ({type(error).__name__})")
        return
    body = getattr(extracted, "body", None)
    if body is not None:
        HtmlBlocks(builder).add(_as_html(body))


def _as_html(body: Any) -> Any:
    """trafilatura's tree with HTML's tag names."""
    for node in body.iter():
        tag = local_name(node)
        if tag == "head":
            rend = node.get("rend") or "h2"
            node.tag = rend if rend in ("h1", "h2", "h3", "h4", "h5", "h6") else "h2"
        elif tag == "list" and node.get("rend") == "ol":
            node.tag = "ol"
        elif tag == "cell":
            node.tag = "th" if node.get("role") == "head" else "td"
        elif tag == "code" and "\n" in "".join(node.itertext()):
            node.tag = "pre"
        elif tag in _TEI:
            node.tag = _TEI[tag]
    return body
