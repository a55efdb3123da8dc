"""Rerankers as lines of text: lists, and the state of a collection with what to do next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.cli.promotion_text import Row, versions_text, when


def list_text(found: Mapping[str, Any]) -> str:
    """A line a reranker: what it is, whether it serves, what it stands on, and its held-out nDCG@10."""
    told = versions_text(found["data"], "reranker", "questions", "nDCG@10", _cells)
    return f"{told}\n{found['obstacle']}" if found["obstacle"] else told


def state_text(ratings: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    """What serves, what was rated and is needed, what the newest came to, and what to do next."""
    own = [one for one in found["data"] if one["id"] != "shipped"]
    serving = next((one for one in own if one["active"]), None)
    lines = [
        f"collection  {ratings['collection']}",
        f"serves      {_serves(serving, found)}",
        f"ratings     {ratings['ratings']} of answers: a passage is known to be right for {ratings['questions']} "
        f"questions, {ratings['to_train']} to train on and {ratings['to_measure']} put aside to measure with",
    ]
    left_out = [
        told
        for count, told in (
            (ratings["unhelpful"], f"{ratings['unhelpful']} questions that no passage helped with"),
            (ratings["gone"], f"{ratings['gone']} whose passages have left the collection or changed"),
        )
        if count
    ]
    if left_out:
        lines.append(f"not counted {'; '.join(left_out)}")
    lines.append(f"needed      {_needed(ratings)}")
    if serving is not None:
        lines.append(f"held out    {_held_out(serving)}")
    if own and own[0] is not serving:
        lines.append(f"newest      {own[0]['id']} of {when(own[0])}, {own[0]['status'].replace('_', ' ')}")
        lines.append(f"            {own[0]['reason']}")
    lines.append(f"next        {_next(ratings, found, own)}")
    return "\n".join(lines)


def _cells(one: Mapping[str, Any]) -> Row:
    gain = one["figures"]["held_out"]["ndcg@10"]
    status = "serves" if one["active"] else one["status"]
    return status, str(one["figures"]["training"]["judged_questions"]), f"{gain['base']:.3f} → {gain['trained']:.3f}"


def _serves(serving: Mapping[str, Any] | None, found: Mapping[str, Any]) -> str:
    if not found["enabled"]:
        return "nothing: passages stay as the search ranks them"
    if found["obstacle"]:
        return "the model that the settings name"
    return "the shipped reranker" if serving is None else f"{serving['id']} of {when(serving)}"


def _needed(ratings: Mapping[str, Any]) -> str:
    if ratings["enough"]:
        return "nothing more"
    needed = ratings["needed"]
    parts = [
        f"{needed[part]} {told}"
        for part, told in (("to_train", "to train on"), ("to_measure", "to measure with"))
        if needed[part]
    ]
    at_least = f", at least {' and '.join(parts)}" if parts else ""
    return f"{needed['questions']} more questions with a passage rated as helpful{at_least}"


def _held_out(one: Mapping[str, Any]) -> str:
    held = one["figures"]["held_out"]
    gain, difference = held["ndcg@10"], held["difference"]
    interval = f"{difference['confidence']:.0%} interval {difference['low']:+.3f} to {difference['high']:+.3f}"
    change = f"{gain['base']:.3f} → {gain['trained']:.3f} ({difference['mean']:+.3f}, {interval})"
    return f"nDCG@10 {change}, {held['questions']} questions that it never saw"


def _next(ratings: Mapping[str, Any], found: Mapping[str, Any], own: list[Mapping[str, Any]]) -> str:
    name = ratings["collection"]
    if found["obstacle"]:
        return str(found["obstacle"])
    if not ratings["enough"]:
        return (
            "rate answers: thumbs on the page, or POST /v1/feedback (about three questions in ten are put aside, by "
            f"their words); or bring a golden set: attest rerankers train -c {name} --golden FILE"
        )
    if own and ratings["ratings"] <= own[0]["figures"]["training"]["ratings"]:
        return "nothing: the newest training knew all these ratings; rate more answers before another"
    return f"attest rerankers train -c {name}: it serves only if held-out nDCG@10 rises beyond chance"
