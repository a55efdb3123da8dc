"""The styles of answer on reading sets: what they change of facts, when they decline, and how often they are right.

    python -m benchmarks.answer_styles --data DIR [--role heldout] [--limit 25]
        [--parts rivals facts topics sentences verdicts lists fit]

Roles go by article as in `app.training.reading_sets`; nothing was fitted on the role "heldout".

- rivals: how often the rules see documents that may disagree with the right answer, before any reader is asked: no
  more questions than these can be said to have two answers. And how many questions each form is wanted for.
- facts: questions over their six lexically nearest paragraphs; what the reader answers alone, and within the styles:
  how many answers changed, their F1, and how often documents were said to disagree.
- topics: "Tell me about TITLE" over paragraphs of the article, or without any; what is given, and what is declined.
- sentences: open questions of the sets ("why", "how does"); are the sentences chosen those of the paragraph that
  answers, and when is one of these questions answered by sentences at all?
- verdicts: PubMedQA with its conclusions in the text; half of it, by a hash of the id, is held out.
- lists: TAT-QA's multi-span questions whose answers stand in its text, the reader alone and within the styles.
- fit: prints the weights that `app/generation/styles/paragraph.py` holds; use it with `--role train` only.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from app.embedding.loading import load_encoder
from app.evaluation.metrics import f1
from app.generation.bundled import copying_generator, judge_of
from app.generation.styles.candidates import Weights, candidates_of
from app.generation.styles.disagreement import rivals
from app.generation.styles.kinds import asked_of
from app.generation.styles.paragraph import Paragraph, features_of, paragraph
from app.generation.styles.styled import THRESHOLD, StyledGenerator
from app.generation.styles.topic import held_of, topic_of
from app.generation.styles.verdicts import verdict
from app.index.analysis import analyze
from app.protocols import Encoder, Generator
from app.training.reader_calibration import fit_signed
from app.training.reading_sets import ReadingQuestion, load_reading_questions
from app.types import Generated, GenerationOptions, Hit, Passage, PassageSpan, Prompt, StoredChunk

PARTS = ("rivals", "facts", "topics", "sentences", "verdicts", "lists", "fit")
FORMS = ("Tell me about {}", "What do the documents say about {}?", "Describe {}", "Summarize what is known about {}")
_MARKS = re.compile(r"\s*\[\d+\]|^- |\n- ")
_PARAGRAPHS = 2500
_GONE = 0.4  # of the questions, whose own paragraphs are then left out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("ATTEST_DATA_DIR"))
    parser.add_argument("--role", choices=("train", "dev", "heldout"), default="heldout")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS[:-1]))
    parser.add_argument("--limit", type=int, default=25, help="questions of each set; ten times as many titles")
    args = parser.parse_args()
    if args.data is None or not (Path(args.data) / "rc").is_dir():
        parser.error("--data DIR must hold rc/*.jsonl.gz; set it or ATTEST_DATA_DIR")
    data, parts = Path(args.data), set(args.parts)
    questions = [q for q in load_reading_questions(data) if q.role == args.role]
    if "rivals" in parts:
        count_rivals(questions, 10 * args.limit)
    if "facts" in parts:
        facts(questions, args.limit)
    if "topics" in parts:
        topics(open_cases(questions, 0, 10 * args.limit))
    if "sentences" in parts:
        sentences(open_cases(questions, args.limit, 0), load_encoder())
    if "verdicts" in parts:
        verdicts(data, heldout=args.role == "heldout")
    if "lists" in parts:
        lists(data, args.limit * 4, heldout=args.role == "heldout")
    if "fit" in parts:
        fit(
            open_cases(questions, args.limit, 2 * args.limit), open_cases(questions, 0, 10 * args.limit), load_encoder()
        )


class Remembering:
    """Implements `Generator`: reads a prompt once, so that both systems see the very same answer."""

    def __init__(self, reader: Generator) -> None:
        self._reader = reader
        self._read: dict[int, Generated] = {}
        self.reads = 0

    @property
    def name(self) -> str:
        return self._reader.name

    def generate(self, prompt: Prompt, options: GenerationOptions, cancelled: Any = lambda: False) -> Generated:
        key = hash((prompt.question, tuple(passage.text for passage in prompt.passages)))
        if key not in self._read:
            self.reads += 1
            self._read[key] = self._reader.generate(prompt, options, cancelled)
        return self._read[key]


def count_rivals(questions: Sequence[ReadingQuestion], limit: int) -> None:
    seen, wanted = 0, Counter[str]()
    cases = [(q, case) for q, case in reading_cases(questions, limit) if q.answers and case.answering]
    for q, case in cases:
        kind = asked_of(q.question).wanted
        wanted[kind] += 1
        place = min(case.answering)
        start = case.prompt.passages[place].text.index(q.answers[0])
        span = PassageSpan(place, start, start + len(q.answers[0]))
        seen += kind != "yes_no" and bool(rivals(q.question, case.prompt.passages, span))
    share = 100 * seen / max(1, len(cases))
    print(f"rivals: {len(cases)} questions with their paragraph among six, {seen} ({share:.1f} %) with a rival")
    print(f"  for the reader to confirm; wanted: {dict(wanted.most_common())}", flush=True)


def facts(questions: Sequence[ReadingQuestion], limit: int) -> None:
    cases = reading_cases(questions, limit)
    judge = judge_of(reads=True, reader=None, abstain_below=None)
    reader = Remembering(copying_generator("reader", None))
    styled = StyledGenerator(reader, judge)
    changed: Counter[str] = Counter()
    before, after, disagreed = [], [], []
    for q, case in cases:
        plain = reader.generate(case.prompt, GenerationOptions())
        made = styled.generate(case.prompt, GenerationOptions())
        given = [one.text if judge(one)[0] >= judge(one)[1] else "" for one in (plain, made)]
        before.append(f1(given[0], q.answers) if q.answers else float(not given[0]))
        after.append(f1(given[1], q.answers) if q.answers else float(not given[1]))
        changed[f"{made.detail['asked']} to {made.style}"] += given[0] != given[1]
        if given[0] != given[1]:
            print(f"    {q.question} [{made.style}] {given[0]!r} to {given[1]!r}, gold {q.answers[:1]}", flush=True)
        if made.detail["style_why"].endswith("answer differently"):
            disagreed.append(q.question)
    share = 100 * len(disagreed) / max(1, len(cases))
    print(
        f"facts: {len(cases)} questions, six passages each; F1 with abstention {pct(before)} before, {pct(after)} after"
    )
    print(f"  changed: {dict(+changed)}; said to disagree: {len(disagreed)} ({share:.1f} %)")
    print(f"  passages read alone besides: {reader.reads - len(cases)}")


@dataclass(frozen=True, slots=True)
class Case:
    """An open question over six passages; `answering` are the places of those that answer it, empty: none does."""

    prompt: Prompt
    answering: frozenset[int]


def open_cases(questions: Sequence[ReadingQuestion], limit: int, titles: int, seed: int = 3) -> list[Case]:
    """Open questions of each set and "tell me about" titles, over the lexically nearest of 2,500 paragraphs."""
    rng = random.Random(seed)
    contexts = drawn_contexts(questions, rng)
    wanted: list[tuple[str, set[str]]] = []
    for members in by_set([q for q in questions if asked_of(q.question).wanted in ("open", "explain")]).values():
        wanted += [(q.question, {q.context}) for q in rng.sample(members, min(len(members), limit))]
    articles: dict[str, set[str]] = defaultdict(set)
    title_of = {q.context: q.title.replace("_", " ") for q in questions}
    for context in contexts:
        if title_of.get(context):
            articles[title_of[context]].add(context)
    names = sorted(articles)
    rng.shuffle(names)
    wanted += [(FORMS[i % len(FORMS)].format(name), articles[name]) for i, name in enumerate(names[:titles])]
    texts = sorted(set(contexts).union(*(own for _, own in wanted)))
    places = postings(texts)
    return [case for question, own in wanted if (case := _case(question, own, texts, places, rng)) is not None]


def reading_cases(
    questions: Sequence[ReadingQuestion], limit: int, seed: int = 5
) -> list[tuple[ReadingQuestion, Case]]:
    """Questions of each set over their six lexically nearest paragraphs."""
    rng = random.Random(seed)
    asked = [q for members in by_set(questions).values() for q in rng.sample(members, min(len(members), limit))]
    texts = sorted({*drawn_contexts(questions, rng), *(q.context for q in asked)})
    places = postings(texts)
    cases = [(q, _case(q.question, {q.context}, texts, places, rng)) for q in asked]
    return [(q, case) for q, case in cases if case is not None]


def drawn_contexts(questions: Sequence[ReadingQuestion], rng: random.Random) -> list[str]:
    contexts = sorted({q.context for q in questions})
    rng.shuffle(contexts)
    return contexts[:_PARAGRAPHS]


def postings(texts: Sequence[str]) -> dict[str, list[int]]:
    places: dict[str, list[int]] = defaultdict(list)
    for place, text in enumerate(texts):
        for term in set(analyze(text)):
            places[term].append(place)
    return places


def _case(
    question: str, own: set[str], texts: Sequence[str], places: dict[str, list[int]], rng: random.Random
) -> Case | None:
    scores: dict[int, float] = defaultdict(float)
    for term in topic_of(question).terms:
        for place in places.get(term, ()):
            scores[place] += float(np.log1p(len(texts) / len(places[term])))
    gone = rng.random() < _GONE
    ranked = [p for p in sorted(scores, key=lambda p: (-scores[p], p)) if not (gone and texts[p] in own)][:6]
    if not gone and not any(texts[p] in own for p in ranked):
        ranked = ranked[:5]
        ranked.insert(rng.randrange(len(ranked) + 1), next(p for p, text in enumerate(texts) if text in own))
    passages = tuple(passage_of(number, texts[place]) for number, place in enumerate(ranked, start=1))
    if not candidates_of(passages):
        return None
    return Case(Prompt(question, passages, "", 0), frozenset(n for n, p in enumerate(ranked) if texts[p] in own))


def topics(cases: Sequence[Case]) -> None:
    given: dict[bool, list[float]] = {True: [], False: []}
    unnamed = []
    for case in cases:
        made = paragraph(case.prompt, None)
        answered = made is not None and made.probability >= THRESHOLD
        given[bool(case.answering)].append(float(answered))
        terms = topic_of(case.prompt.question).terms
        said = [each.terms for each in candidates_of(case.prompt.passages)]
        if not case.answering and not any(held_of(terms, words) == terms for words in said):
            unnamed.append(float(not answered))
    declined = [1 - value for value in given[False]]
    print(f"topics: {len(given[True])} with their paragraphs, {pct(given[True])} answered; {len(declined)} without, ")
    print(f"  {pct(declined)} declined, {pct(unnamed)} of the {len(unnamed)} that no sentence of the others names")


def sentences(cases: Sequence[Case], encoder: Encoder) -> None:
    chosen, strict = [], Counter[tuple[bool, bool]]()
    for case in cases:
        made = paragraph(case.prompt, encoder, strict=True)
        if made is None:
            continue
        strict[bool(case.answering), made.probability >= THRESHOLD] += 1
        if case.answering:
            chosen.append(sum(span.passage in case.answering for span in made.sentences) / len(made.sentences))
    right, wrong = strict[True, True], strict[False, True]
    print(
        f"sentences: {len(cases)} open questions; of the sentences chosen {pct(chosen)} are of the answering paragraph"
    )
    print(
        f"  answered by sentences: {right} of {right + strict[True, False]} with their paragraph, "
        f"{wrong} of {wrong + strict[False, False]} without"
    )


def verdicts(data: Path, *, heldout: bool) -> None:
    told: Counter[tuple[str, str]] = Counter()
    for row in rows(data, "pubmedqa"):
        if (hashlib.sha256(row["id"].encode()).digest()[0] >= 128) != heldout:
            continue
        text = f"{row['context']}\n{row['long_answer']}"
        found = verdict(row["question"], [passage_of(1, text)])
        told[row["answers"][0], "none" if found is None else "yes" if found.yes else "no"] += 1
    given = sum(count for (_, said), count in told.items() if said != "none")
    right = sum(count for (gold, said), count in told.items() if said == gold)
    print(f"verdicts: PubMedQA, {sum(told.values())} questions, {given} verdicts, {right} of them right")


def lists(data: Path, limit: int, *, heldout: bool) -> None:
    reader = Remembering(copying_generator("reader", None))
    styled = StyledGenerator(reader, judge_of(reads=True, reader=None, abstain_below=None))
    asked = []
    for row in rows(data, "tatqa"):
        if (hashlib.sha256(row["doc"].encode()).digest()[0] >= 128) != heldout or row["type"] != "multi-span":
            continue
        text = "\n".join(line for line in row["context"].splitlines() if not line.startswith("|")).strip()
        if len(row["answers"]) > 1 and all(answer in text for answer in row["answers"]):
            asked.append((row["question"], text, row["answers"]))
    before, after, widened = [], [], 0
    for question, text, answers in asked[:limit]:
        prompt = Prompt(question, (passage_of(1, text),), "", 0)
        made = reader.generate(prompt, GenerationOptions())
        if asked_of(question).wanted == "list":
            words = _MARKS.sub(" ", styled.generate(prompt, GenerationOptions()).text)
            widened += words != made.text
        else:
            words = made.text
        gold = [" ".join(answers)]
        before.append(f1(made.text, gold))
        after.append(f1(words, gold))
    print(
        f"lists: {len(before)} questions of TAT-QA with several spans in text; F1 of the reader {pct(before)}, within "
        f"the style {pct(after)}; {widened} answers changed"
    )


def fit(cases: Sequence[Case], titles: Sequence[Case], encoder: Encoder) -> None:
    """Prints the weights of sentences (with cosines and without) and of titles."""
    for name, cosines in (("SEMANTIC", True), ("LEXICAL", False)):
        features, labels = [], []
        for case in cases:
            if not case.answering:
                continue
            said = candidates_of(case.prompt.passages)
            weights = Weights(topic_of(case.prompt.question).terms, said)
            asked = encoder.encode_queries([case.prompt.question])[0]
            near = (encoder.encode_passages([each.text for each in said]) @ asked).tolist() if cosines else None
            for row, each in zip(features_of(said, weights, near), said, strict=True):
                if each.usable:
                    features.append(row)
                    labels.append(float(each.span.passage in case.answering))
        bias, fitted = fit_signed(np.array(features), np.array(labels), [1] * len(features[0]))
        print(f"{name}: {bias:.3f} {np.round(fitted, 3).tolist()} on {len(labels)} sentences")
    shares, present = [], []
    for case in titles:
        topic, made = topic_of(case.prompt.question), paragraph(case.prompt, None)
        share = best_share(case, made) if made is not None and topic.terms else None
        if share is not None and (case.answering or share < 1):  # another article may well say something of the title
            shares += [[share]] * (1 if case.answering else 3)
            present += [float(bool(case.answering))] * (1 if case.answering else 3)
    bias, fitted = fit_signed(np.array(shares), np.array(present), [1])
    print(f"_NAMED: {bias:.2f} {fitted[0]:.2f}; half sure at {-bias / fitted[0]:.2f}")


def best_share(case: Case, made: Paragraph) -> float:
    topic, said = topic_of(case.prompt.question), {e.span: e for e in candidates_of(case.prompt.passages)}
    held = [said[span].terms | said[span].above for span in made.sentences]
    return max(len(held_of(part, words)) / len(part) for part in topic.parts for words in held)


def by_set(questions: Sequence[ReadingQuestion]) -> dict[str, list[ReadingQuestion]]:
    """Questions on running text, by their set, in the order of their ids."""
    found: dict[str, list[ReadingQuestion]] = defaultdict(list)
    for q in sorted(questions, key=lambda q: q.id):
        if q.collection not in ("tatqa", "qamr_sentence"):
            found[q.collection].append(q)
    return dict(sorted(found.items()))


def passage_of(number: int, text: str) -> Passage:
    return Passage(number, Hit(StoredChunk.of_text(text, f"p{number}-{hash(text)}")), text, 0, len(text))


def rows(data: Path, name: str) -> Iterator[dict[str, Any]]:
    with gzip.open(data / "rc" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def pct(values: Sequence[float]) -> str:
    return f"{100 * sum(values) / len(values):.1f} %" if values else "none"


if __name__ == "__main__":
    main()
