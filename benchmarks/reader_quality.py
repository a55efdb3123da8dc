"""The bundled readers on held-out articles and collections, beside their rivals.

    python -m benchmarks.reader_quality --data DIR [--language zh] [--limit 600] [--json FILE]

Two settings. "own passage": each question over the passage it was written for, as SQuAD 2.0 counts (an unanswerable
question scores 1 for declining). "retrieval": five passages of the same collection, half of the answerable questions
without the one that answers. Rivals: the sentence with the highest BM25 score, and the extractive head on the reader's
own encoder (start + end logit). "verifier alone" is the reader's answer with the verifier's log-odds for its
confidence. Each system declines below its own threshold, chosen on the dev articles alone.

Held out from training and tuning: three SQuAD articles, the XQuAD questions of these and nine more, six policies of
PolicyQA, a fifth of BioASQ's questions, QED, FairytaleQA's "val" stories, and a fifth of the tables that cells are
asked of ("tables"). With `--language zh` it is the bilingual reader's turn: a tenth of the articles of CMRC 2018 and
of DRCD, and the XQuAD articles above in Chinese and across the languages; "sentence selector" is what the service
answers with where no reader can spell the language.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from app.evaluation.metrics import auroc, exact_match, expected_calibration_error, f1, normalize_answer
from app.generation.abstention import Calibration, calibrated_confidence, load_calibration, sigmoid
from app.generation.reader import Reader, bilingual_folder, bundled_folder, load_reader
from app.generation.sentences import SentenceSelector, load_confidence
from app.index.analysis import analyze, sentence_spans
from app.training.bilingual.reading import all_chinese_questions
from app.training.everyday import all_reading_questions
from app.training.reader_calibration import Case, best_threshold, prompt_of, retrieval_cases
from app.training.reading_sets import SQUAD_FAMILY, ReadingQuestion, Role
from app.training.table_questions import load_tables, table_questions
from app.types import GenerationOptions, PassageSpan, Prompt

SETTINGS = ("own passage", "retrieval")
SYSTEMS = ("reader", "extractive head", "BM25 sentence")
SELECTOR = "sentence selector"
ASKED_CELLS = 400
VERIFIER = "verifier alone"


@dataclass(frozen=True, slots=True)
class Prediction:
    """One system's best guess, the sentence around it, how sure it is on its own scale, and its raw probability."""

    text: str
    sentence: str
    score: float
    probability: float = 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("ATTEST_DATA_DIR"))
    parser.add_argument(
        "--limit",
        type=int,
        default=600,
        help="questions per set and setting; half as many dev questions set thresholds",
    )
    parser.add_argument("--settings", choices=SETTINGS, nargs="+", default=list(SETTINGS))
    parser.add_argument("--language", choices=("en", "zh"), default="en", help="zh: the bilingual reader")
    parser.add_argument("--folder", type=Path, default=None, help="another reader than the bundled one")
    parser.add_argument("--json", type=Path, default=None, help="write the figures there, too")
    args = parser.parse_args()
    if args.data is None or not (Path(args.data) / "rc").is_dir():
        parser.error("--data DIR must hold rc/*.jsonl.gz; set it or ATTEST_DATA_DIR")
    chinese = args.language == "zh"
    folder = args.folder or (bilingual_folder() if chinese else bundled_folder())
    reader, calibration = load_reader(folder), load_calibration(folder / "calibration.json")
    questions = all_chinese_questions(Path(args.data)) if chinese else english_questions(Path(args.data))
    systems = (*SYSTEMS, SELECTOR) if chinese else (*SYSTEMS, VERIFIER)
    report: dict[str, dict[str, dict[str, float]]] = {}
    for setting in args.settings:
        dev = answer_all(reader, calibration, cases_of(setting, reader, questions, "dev", max(1, args.limit // 2)))
        thresholds = {
            system: best_threshold([p[system].score for _, p in dev], [gain(p[system], case) for case, p in dev])
            for system in systems
        }
        if setting == "retrieval":
            thresholds["reader"] = calibration.threshold
        everything: list[tuple[Case, dict[str, Prediction]]] = []
        for name, cases in by_set(cases_of(setting, reader, questions, "heldout", args.limit)).items():
            answered = answer_all(reader, calibration, cases)
            everything += answered
            report[f"{setting}: {name}"] = {system: figures(system, answered, thresholds[system]) for system in systems}
            show(f"{setting}: {name}", report[f"{setting}: {name}"])
        report[f"{setting}: all"] = {system: figures(system, everything, thresholds[system]) for system in systems}
        show(f"{setting}: all", report[f"{setting}: all"])
    report["latency"] = latency({"reader": reader, "without verifier": load_reader(folder, verify=False)}, questions)
    print(f"\nlatency, 6 passages of about 200 tokens: {report['latency']}")
    if args.json is not None:
        args.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def english_questions(data: Path) -> list[ReadingQuestion]:
    """The reading sets, and questions about cells of held-out tables and of made-up statements."""
    return [
        *all_reading_questions(data),
        *table_questions(load_tables(data, "heldout"), random.Random(0), ASKED_CELLS),
    ]


def cases_of(setting: str, reader: Reader, questions: Sequence[ReadingQuestion], role: Role, limit: int) -> list[Case]:
    """The cases of one setting and role, at most `limit` per set; the two SQuAD sets count as one."""
    if setting == "retrieval":
        return retrieval_cases(questions, role, reader.token_ids, limit_per_set=limit)
    merged = [q for q in questions if q.role == role]
    return [
        Case(q, prompt_of(q.question, [q.context]), q.answers)
        for name in sorted({set_name(q) for q in merged})
        for q in draw(merged, name, limit)
    ]


def draw(questions: Sequence[ReadingQuestion], name: str, limit: int) -> list[ReadingQuestion]:
    members = [q for q in questions if set_name(q) == name]
    return random.Random(0).sample(members, min(limit, len(members)))


def set_name(q: ReadingQuestion) -> str:
    return "squad+xquad" if q.collection in SQUAD_FAMILY else q.collection


def by_set(cases: Sequence[Case]) -> dict[str, list[Case]]:
    grouped: dict[str, list[Case]] = {}
    for case in cases:
        grouped.setdefault(set_name(case.question), []).append(case)
    return dict(sorted(grouped.items()))


def answer_all(
    reader: Reader, calibration: Calibration, cases: Sequence[Case]
) -> list[tuple[Case, dict[str, Prediction]]]:
    """Every system's guess for every case; the BM25 statistics are those of all the cases' sentences."""
    frequency: Counter[str] = Counter()
    sentences = 0
    lengths = 0
    for text in {passage.text for case in cases for passage in case.prompt.passages}:
        for start, end in sentence_spans(text):
            terms = analyze(text[start:end])
            frequency.update(set(terms))
            sentences += 1
            lengths += len(terms)
    idf = {term: math.log(1 + (sentences - df + 0.5) / (df + 0.5)) for term, df in frequency.items()}
    answered = []
    for case in cases:
        read = reader.read(case.prompt)
        generated = reader.decode(read, GenerationOptions())
        extracted = reader.extract(read)
        assert extracted is not None
        predictions = {
            "reader": Prediction(
                generated.text,
                sentence_around(case.prompt, generated.spans),
                calibrated_confidence(generated.evidence, calibration),
                math.exp(generated.evidence.answer_logprob or 0.0),
            ),
            VERIFIER: Prediction(
                generated.text,
                sentence_around(case.prompt, generated.spans),
                generated.evidence.verification or 0.0,
                sigmoid(generated.evidence.verification or 0.0),
            ),
            "extractive head": Prediction(
                extracted.text,
                sentence_around(case.prompt, extracted.spans),
                extracted.logprob,
                sigmoid(extracted.logprob),
            ),
            "BM25 sentence": bm25_sentence(case.prompt, idf, lengths / max(1, sentences)),
            SELECTOR: selected_sentence(case.prompt),
        }
        answered.append((case, predictions))
    return answered


def sentence_around(prompt: Prompt, spans: Sequence[PassageSpan]) -> str:
    """The sentence that holds the start of the first span: what Attest quotes."""
    text, at = prompt.passages[spans[0].passage].text, spans[0].char_start
    return next((text[start:end] for start, end in sentence_spans(text) if start <= at < end), text)


def bm25_sentence(prompt: Prompt, idf: dict[str, float], avgdl: float, k1: float = 1.2, b: float = 0.75) -> Prediction:
    """The sentence with the highest BM25 score (Robertson & Zaragoza 2009, equation 3.15); the first of equals."""
    query = set(analyze(prompt.question))
    best = Prediction("", "", 0.0)
    for passage in prompt.passages:
        for start, end in sentence_spans(passage.text):
            terms = Counter(analyze(passage.text[start:end]))
            length = sum(terms.values())
            score = 0.0
            for term in query & terms.keys():
                tf = terms[term]
                score += idf.get(term, 0.0) * tf * (k1 + 1) / (tf + k1 * (1 - b + b * length / avgdl))
            if score > best.score:
                best = Prediction(passage.text[start:end], passage.text[start:end], score)
    return best


def selected_sentence(prompt: Prompt) -> Prediction:
    """What the generator without a model answers."""
    chosen = SentenceSelector().generate(prompt, GenerationOptions())
    return Prediction(chosen.text, chosen.text, load_confidence().confidence(chosen.evidence))


def holds(sentence: str, case: Case) -> float:
    """1 if the normalised sentence holds a normalised accepted answer."""
    return float(any(normalize_answer(answer) in normalize_answer(sentence) for answer in case.answers))


def gain(prediction: Prediction, case: Case) -> float:
    return f1(prediction.text, case.answers) if case.answers else -1.0


def figures(system: str, answered: Sequence[tuple[Case, dict[str, Prediction]]], threshold: float) -> dict[str, float]:
    """Percentages; EM and F1 are of the answerable cases, all answered; the other figures let it decline."""
    guesses = [(case, predictions[system]) for case, predictions in answered]
    answerable = [(case, p) for case, p in guesses if case.answers]
    empty = [(case, p) for case, p in guesses if not case.answers]
    with_decline = [f1(p.text if p.score >= threshold else "", case.answers) for case, p in guesses]
    found = {
        "questions": len(guesses),
        "em": percent([exact_match(p.text, case.answers) for case, p in answerable]),
        "f1": percent([f1(p.text, case.answers) for case, p in answerable]),
        "sentence_holds_answer": percent([holds(p.sentence, case) for case, p in answerable]),
        "overall_f1": percent(with_decline),
    }
    if empty and answerable:
        scores = [p.score for _, p in guesses]
        found["declined_right"] = percent([float(p.score < threshold) for _, p in empty])
        found["answered_answerable"] = percent([float(p.score >= threshold) for _, p in answerable])
        found["auroc_answerable"] = round(auroc(scores, [bool(case.answers) for case, _ in guesses]), 3)
        right = [bool(case.answers) and f1(p.text, case.answers) >= 0.5 for case, p in guesses]
        found["auroc_right"] = round(auroc(scores, right), 3)
        if system not in ("BM25 sentence", SELECTOR):
            found["ece_raw"] = round(expected_calibration_error([p.probability for _, p in guesses], right), 3)
        if system == "reader":
            found["ece_calibrated"] = round(expected_calibration_error(scores, right), 3)
    return found


def latency(
    readers: dict[str, Reader], questions: Sequence[ReadingQuestion], repeats: int = 30
) -> dict[str, dict[str, float]]:
    """Milliseconds of `Reader.generate` over six passages of 150 to 250 tokens, the readers taking turns."""
    some = next(iter(readers.values()))
    pool = [q for q in questions if q.role == "heldout" and 150 <= len(some.token_ids(q.context)) <= 250]
    rng = random.Random(0)
    times: dict[str, list[float]] = {name: [] for name in readers}
    for _ in range(repeats):
        chosen = rng.sample(pool, 6)
        prompt = prompt_of(chosen[0].question, [q.context for q in chosen])
        for name, reader in readers.items():
            start = time.perf_counter()
            reader.generate(prompt, GenerationOptions())
            times[name].append(1000 * (time.perf_counter() - start))
    return {
        name: {
            "p50_ms": round(statistics.median(taken), 1),
            "p95_ms": round(sorted(taken)[int(0.95 * repeats) - 1], 1),
        }
        for name, taken in times.items()
    }


def percent(values: Sequence[float]) -> float:
    return round(100 * sum(values) / len(values), 1) if values else math.nan


def show(title: str, rows: dict[str, dict[str, float]]) -> None:
    print(f"\n{title}")
    for system, row in rows.items():
        print(f"  {system:18}" + "  ".join(f"{name} {value}" for name, value in row.items()))


if __name__ == "__main__":
    main()
