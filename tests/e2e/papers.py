"""The documents of the browser tests and of the pictures in the docs: a PDF, Markdown, a hostile page."""

from __future__ import annotations

from pathlib import Path

HOSTILE_NAME = '<img src=x onerror="document.title=1">&amp;\u202egnp.md'
HOSTILE_TEXT = """# <script>window.pwned = 1</script> Zeppelin notes

<img src="/nothing" onerror="window.pwned = 2"> The zeppelin hangar costs 4,700 crowns <b onclick=alert(1)>in all</b>.

[Open the hangar](javascript:window.pwned=3) and ![a picture](https://tracker.example/pixel.gif).

<style>body { display: none }</style>
"""

MARKDOWN = """---
title: Travel rules
---
# Travel rules

These rules hold for *every* employee. \U0001f9f3\U0001f686

## Trains

Journeys under **six hours** are made by train. A first-class seat is paid for from four hours on.

| City | Hotel limit |
| --- | --- |
| Geneva | 210 francs |
| Lyon | 140 euros |

## Receipts

Receipts are handed in within **thirty days**; after that the travel office pays nothing.
"""

QUESTION = "How many days of paid parental leave does every employee receive?"
QUOTE = "Every employee receives 84 days of paid parental leave after the birth or adoption of a child."
QUOTE_PAGE = 2

_PAGES = (
    (
        "Employee handbook",
        (
            "This handbook was last revised in March 2026. It holds for everyone who works at the Lindenau Instrument "
            "Company, in the workshop as well as in the office.",
            "The normal working week has 38 hours. Work begins between seven and half past nine; the hours between ten "
            "and three are for meetings.",
            "The probation period lasts four months. In it, either side may end the contract within two weeks.",
        ),
    ),
    (
        "Leave",
        (
            "Each year brings 28 days of holiday, which are entered in the calendar by the end of February.",
            "Every employee receives 84 days of paid parental leave after the birth or adoption of a child. The leave "
            "may be taken in up to three parts until the child is three years old.",
            "Who falls ill tells the team lead before ten in the morning. From the fourth day on, a doctor's note is "
            "needed.",
        ),
    ),
    (
        "Equipment",
        (
            "Laptops are replaced after four years. The old one may be bought for fifty euros.",
            "The workshop's microscopes are calibrated every spring by the Optics group under Marta Feld.",
            "Keys are handed out at the front desk; a lost key costs 35 euros and is reported the same day.",
        ),
    ),
)


def write_handbook(path: Path) -> None:
    """A PDF of three pages with running heads, paragraphs that break over lines, and page numbers."""
    from reportlab.lib.pagesizes import A4
    from reportlab.lib.styles import ParagraphStyle, getSampleStyleSheet
    from reportlab.platypus import PageBreak, Paragraph, SimpleDocTemplate, Spacer

    sheet = getSampleStyleSheet()
    body = ParagraphStyle("body", parent=sheet["BodyText"], fontSize=12, leading=18, spaceAfter=10)
    flow: list[object] = []
    for title, paragraphs in _PAGES:
        flow += [Paragraph(title, sheet["Heading1"]), Spacer(1, 12)]
        flow += [Paragraph(text, body) for text in paragraphs]
        flow.append(PageBreak())
    document = SimpleDocTemplate(str(path), pagesize=A4, title="Employee handbook", author="People team", invariant=1)
    document.build(flow[:-1], onFirstPage=_foot, onLaterPages=_foot)


def _foot(canvas: object, document: object) -> None:
    canvas.setFont("Helvetica", 9)  # type: ignore[attr-defined]
    canvas.drawString(72, 40, f"Lindenau Instrument Company · page {document.page}")  # type: ignore[attr-defined]
