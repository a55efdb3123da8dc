"""`attest train policy`: measures the translations on judged collections, trains the policy, and tests it on others.

What it writes is what beats no translation on the collections held out; a policy that does not is not written.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.context.assembly import assemble
from app.embedding.loading import load_encoder
from app.errors import InvalidInput
from app.generation.abstention import abstention_threshold, calibrated_confidence
from app.protocols import Encoder, Generator
from app.query import translation
from app.query.policy.features import FEATURES
from app.query.policy.model import BUNDLED, CHECKSUMS, MODEL, RULES, Policy, checksum_line
from app.query.steps import StepAnswer, step_answer
from app.query.translation import Translator
from app.training.policy_collections import HELD_OUT, TRAIN, load_judged
from app.training.policy_fit import (
    LEARNED,
    ROUNDS,
    WORST,
    Groups,
    Outcome,
    Selected,
    choices,
    fit_policy,
    interval,
    mean_gain,
    outcome,
    predictions,
    select_rule,
)
from app.training.policy_measuring import Measured, Read, measure, quiet
from app.types import GenerationOptions, Hit

BUDGET_MS = 250.0
"""`query.auto_budget_ms` by default."""
MAX_DOCUMENTS: Mapping[str, int] = {
    "bioasq": 220, "cmrc2018_zh": 160, "cranfield": 400, "drcd_zh": 250, "medline": 400, "medquad": 400, "npl": 1_500,
}  # fmt: skip
MAX_QUERIES: Mapping[str, int] = {
    "bioasq": 30, "cmrc2018_zh": 50, "cranfield": 40, "drcd_zh": 80, "medline": 16, "multihop_held_out": 60,
    "multihop_tune": 60, "xquad_enq_zhctx": 40, "xquad_zhq_enctx": 40,
}  # fmt: skip
_DOCUMENTS, _QUERIES = 800, 120
_STEP_CHUNKS, _STEP_TOKENS = 6, 2_000


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of a trained policy on the collections held out: outcomes by collection, and the 95 % interval of their mean."""

    outcomes: Mapping[str, Outcome]
    low: float
    high: float

    @property
    def mean(self) -> float:
        return mean_gain(self.outcomes)

    @property
    def worst(self) -> float:
        """The greatest loss of recall@10 or nDCG@10 on any of them."""
        return min(min(each.recall, each.ndcg) for each in self.outcomes.values())

    @property
    def ships(self) -> bool:
        """Better than no translation beyond chance, and nowhere worse than may be."""
        return self.low > 0 and self.worst >= WORST

    def told(self) -> str:
        """One sentence."""
        return (
            f"held out, against no translation: {100 * self.mean:+.2f} points "
            f"[{100 * self.low:+.2f}, {100 * self.high:+.2f}] of (recall@10 + nDCG@10) / 2, "
            f"{100 * self.worst:+.2f} at worst in either on one collection"
        )


def gather(
    data: Path,
    names: Sequence[str],
    encoder: Encoder,
    translator: Translator,
    *,
    writer: str = RULES,
    read: Read | None = None,
    seed: int = 0,
    cache_dir: Path | None = None,
    progress: Callable[[str], None] = quiet,
) -> dict[str, list[Measured]]:
    """The measured questions of each collection, from the cache where they lie there.

    Args:
        data: folder with `ir/` and, as far as the collections need them, `rc/` and `multihop/`.
        names: of collections.
        encoder: of passages and questions.
        translator: writes the translations.
        writer: its name, for the cache.
        read: answers steps; None leaves them out.
        seed: of the samples.
        cache_dir: keeps embeddings and measured questions between runs; a file a collection.
        progress: told what is being done.

    Raises:
        InvalidInput: a collection is not there.
    """
    groups = {}
    for name in names:
        collection = load_judged(
            data,
            name,
            max_queries=MAX_QUERIES.get(name, _QUERIES),
            max_documents=MAX_DOCUMENTS.get(name, _DOCUMENTS),
            seed=seed,
        )
        key = hashlib.sha256(
            json.dumps(
                [rules_version(), encoder.name, writer, read is not None, FEATURES, collection.queries]
                + [document.id for document in collection.documents]
            ).encode()
        ).hexdigest()[:16]
        file = cache_dir / f"measured-{name}-{key}.jsonl" if cache_dir is not None else None
        if file is not None and file.is_file():
            groups[name] = [Measured.of(json.loads(line)) for line in file.read_text(encoding="utf-8").splitlines()]
            continue
        progress(f"{name}: {len(collection.documents)} documents, {len(collection.queries)} questions")
        groups[name] = measure(
            collection, encoder, translator, read=read, cache_dir=cache_dir, progress=progress
        )  # fmt: skip
        if file is not None:
            _write(file, "".join(json.dumps(row.told()) + "\n" for row in groups[name]))
    return groups


def rules_version() -> str:
    """A hash of the code that translates by rules: measured questions are not kept beyond a change of it."""
    files = sorted(Path(translation.__file__).parent.glob("*.py"))
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()[:16]


def step_reader(encoder: Encoder, generator: Generator) -> Read:
    """Reads a step's answer in its best passages with the bundled reader, as the service does, without reranking."""

    def read(question: str, hits: tuple[Hit, ...]) -> StepAnswer:
        prompt = assemble(
            question,
            hits,
            max_chunks=_STEP_CHUNKS,
            budget_tokens=_STEP_TOKENS,
            count_tokens=encoder.count_tokens,
            template=generator.name,
        )
        if not prompt.passages:
            return StepAnswer("", 0.0, hits, prompt)
        generated = generator.generate(prompt, GenerationOptions(), lambda: False)
        confidence = calibrated_confidence(generated.evidence)
        return step_answer(hits, prompt, generated, confidence, abstention_threshold())

    return read


def train(groups: Groups, *, writer: str = RULES, rounds: int = ROUNDS, seed: int = 0) -> tuple[Policy, Selected]:
    """The policy of these collections, with the rule that did best on each of them held out in its turn."""
    selected = select_rule(groups, rounds=rounds, seed=seed)
    return fit_policy(groups, rule=selected.rule, writer=writer, rounds=rounds, seed=seed), selected


def auto_choices(policy: Policy, rows: Sequence[Measured], *, budget_ms: float = BUDGET_MS) -> list[str]:
    """What the policy asks for each question, the time that its first look took known."""
    costs = [policy.costs(row.look_ms) for row in rows]
    return choices(policy.rule, predictions(policy, rows), costs, budget_ms)


def judge(policy: Policy, held_out: Groups, *, budget_ms: float = BUDGET_MS, seed: int = 0) -> Verdict:
    """The policy alone, without steps, on collections that nothing of it has seen."""
    chosen = {name: auto_choices(policy, rows, budget_ms=budget_ms) for name, rows in held_out.items()}
    outcomes = {name: outcome(rows, chosen[name]) for name, rows in held_out.items()}
    low, high = interval(held_out, lambda name: chosen[name], seed=seed)
    return Verdict(outcomes, low, high)


def write_policy(out: Path, policy: Policy, card: str) -> None:
    """`policy.json`, its checksum and its card."""
    out.mkdir(parents=True, exist_ok=True)
    text = policy.to_json()
    _write(out / MODEL, text)
    _write(out / "README.md", card)
    _write(out / CHECKSUMS, checksum_line(text.encode()))


def write_card(policy: Policy, selected: Selected, verdict: Verdict, encoder: str, groups: Groups) -> str:
    """Markdown: what the policy is, what it learned from, and what it does to collections held out."""
    rows = "\n".join(
        f"| {name} | {100 * each.recall:+.2f} | {100 * each.ndcg:+.2f} |"
        for name, each in sorted(verdict.outcomes.items())
    )
    learned = ", ".join(f"{name} ({len(questions)})" for name, questions in sorted(groups.items()))
    return f"""# Translation policy

Boosted trees (LightGBM) that predict, from {len(FEATURES)} numbers of a question and of a first retrieval
(`app/query/policy/features.py`), what each kind of query translation gains; no text of the training data is in it.
Kinds: {", ".join(policy.kinds)}, written by {policy.writer}; encoder `{encoder}`.
Rule: gain − {policy.rule.caution:g} · spread > {policy.rule.margin:g}, at most {policy.rule.most} kinds.

## Held out

Points gained against no translation.

| collection | recall@10 | nDCG@10 |
|---|---:|---:|
{rows}

{verdict.told().capitalize()}. On the training collections, each held out in its turn: {100 * selected.mean:+.2f}.

    attest train policy --data DIR

## Data (questions)

{learned}.
"""


def _write(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def main(argv: Sequence[str] | None = None) -> int:
    """`attest train policy`: measures, trains, prints the figures; writes the policy where it beats none."""
    parser = argparse.ArgumentParser(prog="attest train policy", description="Train the policy of translate: auto.")
    parser.add_argument("--data", type=Path, required=True, help="folder with ir/, and rc/ and multihop/ for ours")
    parser.add_argument("--out", type=Path, default=BUNDLED, help="receives policy.json, README.md, SHA256SUMS")
    parser.add_argument("--collections", nargs="+", default=list(TRAIN), help="to train on")
    parser.add_argument("--hold-out", nargs="+", default=list(HELD_OUT), help="to test on")
    parser.add_argument("--cache", type=Path, help="keeps embeddings and measured questions between runs")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(argv)
    if both := sorted(set(chosen.collections) & set(chosen.hold_out)):
        raise InvalidInput(f"--hold-out {', '.join(both)}: what is trained on can not be held out, too")
    encoder = load_encoder()
    kept = {"seed": chosen.seed, "cache_dir": chosen.cache, "progress": _note}
    groups = gather(chosen.data, chosen.collections, encoder, Translator(), **kept)
    policy, selected = train(groups, seed=chosen.seed)
    _say(f"kinds: {', '.join(policy.kinds) or 'none'} of {', '.join(LEARNED)}; rule: {policy.rule}")
    _say(f"training collections, each held out in its turn: {100 * selected.mean:+.2f} points")
    verdict = judge(policy, gather(chosen.data, chosen.hold_out, encoder, Translator(), **kept), seed=chosen.seed)
    for name, each in verdict.outcomes.items():
        _say(f"  {name:20} recall@10 {100 * each.recall:+6.2f}  nDCG@10 {100 * each.ndcg:+6.2f}")
    _say(verdict.told())
    if not verdict.ships:
        _say("not written: it does not beat no translation beyond chance")
        return 0
    write_policy(chosen.out, policy, write_card(policy, selected, verdict, encoder.name, groups))
    _say(f"written: {chosen.out / MODEL}")
    return 0


def _say(message: str) -> None:
    sys.stdout.write(message + "\n")
    sys.stdout.flush()


def _note(message: str) -> None:
    sys.stderr.write(message + "\n")
    sys.stderr.flush()
