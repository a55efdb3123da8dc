"""Examples of behaviour, written for this project: how they are kept is told in README.md beside this file."""

from app.training.behaviours.loading import KINDS, Behaviour, Kind, Part, Passage, Span, Verdict, load_behaviours

__all__ = ["KINDS", "Behaviour", "Kind", "Part", "Passage", "Span", "Verdict", "load_behaviours"]
