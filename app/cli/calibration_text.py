"""Calibrations as lines of text: lists, the state of a collection, a table of what its confidence is worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Row = Sequence[str]


def list_text(found: Sequence[Mapping[str, Any]]) -> str:
    """A line a calibration: what it is, whether it serves, what it stands on, and its held-out log loss."""
    rows: list[Row] = [("collection", "calibration", "status", "rated", "log loss", "made")]
    for one in found:
        if one["id"] == "shipped":
            rows.append(("any other" if len(found) > 1 else "every one", "shipped", "serves", "", "", ""))
            continue
        loss = one["figures"]["held_out"]["log_loss"]
        status = "outdated" if one["outdated"] and one["active"] else "serves" if one["active"] else one["status"]
        rows.append(
            (
                one["collection"],
                one["id"],
                status,
                str(one["figures"]["training"]["rated"]),
                f"{loss['base']:.3f} → {loss['trained']:.3f}",
                one["created_at"][:16].replace("T", " "),
            )
        )
    return table(rows, right=(3,))


def state_text(ratings: Mapping[str, Any], found: Sequence[Mapping[str, Any]]) -> str:
    """What serves, what was rated and is needed, and the table of what serves, or of the shipped one."""
    collection = ratings["collection"]
    own = next((one for one in found if one["active"] and one["id"] != "shipped" and not one["outdated"]), None)
    older = f"; {ratings['outdated']} answers more under an earlier calibration" if ratings["outdated"] else ""
    lines = [
        f"collection  {collection}",
        f"serves      {'the shipped calibration' if own is None else own['id']}",
        f"ratings     {ratings['rated']} questions rated: {ratings['right']} right, {ratings['wrong']} wrong; "
        f"{ratings['unrated']} unrated{older}",
        f"needed      {_needed(ratings)}",
    ]
    outdated = next((one for one in found if one["active"] and one["outdated"]), None)
    if outdated is not None:
        lines.append(f"outdated    {outdated['id']} corrects a calibration that is no longer shipped: fit another")
    held = None if own is None else own["figures"]["held_out"]
    if held is not None:
        loss = held["log_loss"]
        lines += ["", f"held out    log loss {loss['base']:.3f} → {loss['trained']:.3f}, {held['questions']} questions"]
    if held is not None and "after" in held:  # versions of before the figures were kept have none
        before, after = held["before"], held["after"]
        lines += [
            f"            calibration error {before['calibration_error']:.3f} → {after['calibration_error']:.3f}",
            f"            still given {_given(before)} → {_given(after)}",
            "",
            bins_text(after["reliability"]),
        ]
    elif own is None and ratings["figures"] is not None:
        figures = ratings["figures"]
        lines += [
            "",
            f"shipped     calibration error {figures['calibration_error']:.3f}, given {_given(figures)}",
            "",
            bins_text(figures["reliability"]),
        ]
    return "\n".join(lines)


def bins_text(bins: Sequence[Mapping[str, Any]]) -> str:
    """The reliability diagram as a table: where `right` is below `confidence`, too much is promised."""
    head: Row = ("answers with", "count", "confidence", "right", "95 % interval")
    rows: list[Row] = [
        (
            f"{one['low']:.1f} to {one['high']:.1f}",
            str(one["count"]),
            f"{one['confidence']:.2f}",
            f"{one['right']:.2f}",
            f"{one['right_low']:.2f} to {one['right_high']:.2f}",
        )
        for one in bins
    ]
    return table([head, *rows], right=(1, 2, 3))


def fitted_text(result: Mapping[str, Any], collection: str) -> str:
    """What a fit came to."""
    after = (
        f"{result['calibration']} serves {collection} from the next question on; "
        f"`attest calibrations rollback -c {collection}` takes it back"
        if result["promoted"]
        else f"{result['calibration']} is kept for the record; what served goes on serving"
    )
    return f"{result['reason']}\n{after}"


def table(rows: Sequence[Row], right: Sequence[int] = ()) -> str:
    """Columns as wide as their widest cell; those in `right` are set flush right."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if place in right else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _needed(ratings: Mapping[str, Any]) -> str:
    if ratings["enough"]:
        return f"nothing: attest calibrations fit -c {ratings['collection']}"
    needed = ratings["needed"]
    kinds = [f"{needed[kind]} {kind}" for kind in ("right", "wrong") if needed[kind]]
    at_least = f", at least {' and '.join(kinds)}" if kinds else ""
    return f"{needed['rated']} more rated questions{at_least} (thumbs on the page, or POST /v1/feedback)"


def _given(figures: Mapping[str, Any]) -> str:
    coverage, risk = figures["given"]["coverage"], figures["given"]["risk"]
    return f"{coverage:.0%}" + ("" if risk is None else f" (of them wrong {risk:.0%})")
