"""What the service does with the hand-written behaviours: near misses, contradictions, hidden orders, lists and more.

    python -m benchmarks.behaviours [--part heldout] [--kinds refusal open …] [--languages zh] [--limit 8] [--seed 7]
        [--wrong 5]

Every scenario of `app/training/behaviours` becomes a collection of its own, ingested by the worker itself; every row is
asked through the whole pipeline with nothing but its question (and the style, where a full sentence is wanted).
`--limit` rows are drawn of each kind and language (0: all; a refusal and its twin are drawn together). Percentages
unless said otherwise. Words are compared as SQuAD's script does, Chinese by characters. `--wrong` shows as many answers
of each kind that went wrong.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from app.bootstrap import Services, build_services
from app.index.records import NewDocument
from app.settings import Settings
from app.telemetry import Trace, configure_logging
from app.training.behaviours import KINDS, Behaviour, load_behaviours
from app.training.behaviours.loading import PARTS
from app.types import AskRequest, GenerationOptions, Message
from benchmarks.behaviour_scores import SCORES, Outcome
from ingestion.bootstrap import build_worker

_LANGUAGES = {"en": ("en",), "zh": ("zh", "zh-Hant")}
_TRANSLATIONS = {"step_back": "step_back", "paraphrase": "multi_query"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=PARTS, default="heldout")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--languages", nargs="+", choices=_LANGUAGES, default=list(_LANGUAGES))
    parser.add_argument("--limit", type=int, default=8, help="rows of each kind and language; 0 for all")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--wrong", type=int, default=0, help="show as many wrong answers of each kind")
    args = parser.parse_args()
    configure_logging("WARNING")
    every = load_behaviours(args.part)
    asked_in = {language for name in args.languages for language in _LANGUAGES[name]}
    rows = drawn([row for row in every if row.kind in args.kinds and row.lang in asked_in], args.limit, args.seed)
    outcomes, seconds = asked(rows, every)
    for kind in args.kinds:
        for name, languages in _LANGUAGES.items():
            of_kind = [one for one in outcomes if one.row.kind == kind and one.row.lang in languages]
            if of_kind:
                show(f"{kind} {name}", SCORES[kind](of_kind))
        wrong = [one for one in outcomes if one.row.kind == kind and one.wrong]
        for one in wrong[: args.wrong]:
            print(f"    {one.row.question!r} -> {one.told!r}  ({one.wrong})")
    print(f"{len(outcomes)} rows of the part {args.part}; {seconds:.0f} s of asking")


def show(name: str, scores: Iterable[tuple[str, float]]) -> None:
    print(f"{name:<18}" + "; ".join(f"{what} {value:.3g}" for what, value in scores), flush=True)


def drawn(rows: Sequence[Behaviour], limit: int, seed: int) -> list[Behaviour]:
    """At most `limit` rows of each kind and language, in their order; the twin of a drawn refusal comes with it."""
    if limit <= 0:
        return list(rows)
    rng, kept = random.Random(seed), set()
    for kind in KINDS:
        for chinese in (False, True):
            names = [r.id for r in rows if (r.kind, r.lang != "en") == (kind, chinese) and not r.id.endswith("-twin")]
            kept.update(rng.sample(names, min(len(names), limit)))
    return [row for row in rows if row.id in kept or (row.kind == "refusal" and row.twin in kept)]


def asked(rows: Sequence[Behaviour], every: Sequence[Behaviour]) -> tuple[list[Outcome], float]:
    """Each row's answer by a service over a temporary home, and the seconds that asking took.

    `every` row of the part: a follow-up has no passages itself, those of its scenario stand in other rows.
    """
    scenarios = {row.scenario for row in rows}
    with tempfile.TemporaryDirectory() as home:
        settings = Settings(home=Path(home))
        services = build_services(settings)
        try:
            ingest(services, settings, [row for row in every if row.scenario in scenarios])
            began = time.perf_counter()
            outcomes = [outcome_of(services, row) for row in rows]
            return outcomes, time.perf_counter() - began
        finally:
            services.close()


def ingest(services: Services, settings: Settings, rows: Sequence[Behaviour]) -> None:
    for scenario in {row.scenario: None for row in rows}:
        services.catalog.create_collection(scenario)
    for scenario, passages in {row.scenario: row.passages for row in rows if row.passages}.items():
        documents = []
        for number, passage in enumerate(passages):
            sha256, size = services.blobs.put(passage.text.encode(), 2**20)
            documents.append(
                NewDocument(
                    sha256=sha256,
                    bytes=size,
                    media_type="text/plain",
                    filename=None,
                    title=passage.title,
                    source_url=None,
                    document_id=f"{scenario}-{number}",
                )
            )
        services.catalog.submit(scenario, documents)
    worker = build_worker(settings)
    while worker.run_once():
        pass


def outcome_of(services: Services, row: Behaviour) -> Outcome:
    trace = Trace()
    if row.kind == "standalone":
        turns = [Message(("user", "assistant")[place % 2], text) for place, text in enumerate(row.history)]
        return Outcome(row, rewritten=(services.pipeline.stages.condense(row.question, turns, trace),))
    if row.kind in _TRANSLATIONS:
        made = services.pipeline.translate(row.question, [_TRANSLATIONS[row.kind]], (row.scenario,), trace)
        return Outcome(row, rewritten=tuple(query.text for query in made.queries[1:]))
    generation = GenerationOptions(style="sentence" if row.kind == "sentence" else None)
    return Outcome(
        row, services.pipeline.answer(AskRequest(row.question, (row.scenario,), generation=generation), trace)
    )


if __name__ == "__main__":
    main()
