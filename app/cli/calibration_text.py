"""Calibrations as lines of text: lists, the state of a collection, a table of what its confidence is worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.cli.promotion_text import Row, table, versions_text


def list_text(found: Sequence[Mapping[str, Any]]) -> str:
    """A line a calibration: what it is, whether it serves, what it stands on, and its held-out log loss."""
    return versions_text(found, "calibration", "rated", "log loss", _cells)


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


def _cells(one: Mapping[str, Any]) -> Row:
    loss = one["figures"]["held_out"]["log_loss"]
    status = "outdated" if one["outdated"] and one["active"] else "serves" if one["active"] else one["status"]
    return status, str(one["figures"]["training"]["rated"]), f"{loss['base']:.3f} → {loss['trained']:.3f}"


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
