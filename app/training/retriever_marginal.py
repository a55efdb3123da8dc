"""Train the query encoder with the reader through the marginal likelihood: `attest train retriever-marginal`.

Writes `OUT/query-encoder`, a folder that `ATTEST_EMBEDDING__QUERY_MODEL` takes: an index that exists goes on serving,
since its vectors are those of the document encoder, which does not change.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from app.embedding.loading import load_encoder
from app.embedding.weights import packaged_folder
from app.training.loop import LOG_NAME, LoopOptions, device_of_choice, run_training
from app.training.marginal_objective import MarginalObjective, MarginalOptions, QueryEncoder, RetrieverAndReader
from app.training.reader import MINILM_SHA256, minilm_folder, special_ids
from app.training.reading_sets import HELD_OUT_SETS, ReadingQuestion, Role, load_reading_questions
from app.transformer.checkpoints import load_bert_encoder, save_bert_encoder
from app.transformer.encoder import BertConfig
from app.transformer.pointer_checkpoints import load_pointer_reader
from app.transformer.tokenizers import TextTokenizer

_WITHOUT = ("qamr_sentence", "policyqa", *HELD_OUT_SETS)
"""Single sentences, questions that do not say whose policy they are about, and what is held out altogether."""
_SCORED_QUESTIONS = 400


def train_retriever(
    data_dir: Path, reader_folder: Path, out_dir: Path, loop: LoopOptions, options: MarginalOptions | None = None
) -> dict[str, dict[str, float]]:
    """Train until the budget is spent, write `out_dir/query-encoder`, and return the scores before and after.

    "before" and "after" are those of up to 400 questions about held-out articles, among the documents of all roles.

    Raises:
        Unavailable: a data file or the reader is missing.
        IntegrityError: weights are not those of their checksums.
    """
    options = options or MarginalOptions()
    torch.set_num_threads(loop.threads)
    torch.manual_seed(loop.seed)
    device = device_of_choice()
    questions = [q for q in load_reading_questions(data_dir) if q.collection not in _WITHOUT and q.answers]
    documents = list(dict.fromkeys(q.context for q in questions))
    vectors = torch.from_numpy(load_encoder(threads=loop.threads).encode_passages(documents))
    tokenizer = TextTokenizer(minilm_folder() / "tokenizer.json")
    encoder, sizes = load_bert_encoder(minilm_folder(), MINILM_SHA256)
    reader, _ = load_pointer_reader(reader_folder, minilm_folder())
    model = RetrieverAndReader(QueryEncoder(encoder.float()), reader).to(device)

    def objective(scored: Sequence[ReadingQuestion]) -> MarginalObjective:
        learned = [q for q in questions if q.role == "train"]
        return MarginalObjective(model, learned, scored, documents, vectors, tokenizer, special_ids(tokenizer), options)

    held_out = objective(_some(questions, "heldout", loop.seed))
    before = dict(held_out.scores())
    run_training(objective(_some(questions, "dev", loop.seed)), out_dir, loop)
    model.eval()
    after = dict(held_out.scores())
    export_query_encoder(model.query, sizes, out_dir / "query-encoder")
    scores = {"before": before, "after": after}
    (out_dir / "scores.json").write_text(json.dumps(scores, indent=1), encoding="utf-8")
    return scores


def _some(questions: Sequence[ReadingQuestion], role: Role, seed: int) -> list[ReadingQuestion]:
    members = [q for q in questions if q.role == role]
    return random.Random(seed).sample(members, min(len(members), _SCORED_QUESTIONS))


def export_query_encoder(query: QueryEncoder, sizes: BertConfig, folder: Path) -> None:
    """Write the encoder to `folder`, in float32, with what sentence-transformers needs beside the weights."""
    unlike = shutil.ignore_patterns("*.safetensors", "*.bin", "README.md", "data_config.json")
    shutil.copytree(packaged_folder(), folder, dirs_exist_ok=True, ignore=unlike)
    save_bert_encoder(query.encoder.float().cpu(), sizes, folder)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line: train, print the held-out scores before and after, and return 0."""
    parser = argparse.ArgumentParser(prog="attest train retriever-marginal", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="directory that holds rc/*.jsonl.gz")
    parser.add_argument("--out", type=Path, default=Path("retriever-run"), help="directory for checkpoint and result")
    parser.add_argument("--minutes", type=float, default=30.0, help="wall-clock budget, earlier runs included")
    parser.add_argument("--reader", type=Path, default=Path(__file__).parents[1] / "bundled" / "reader")
    parser.add_argument("--documents", type=int, default=MarginalOptions().documents, help="k of the marginal")
    parser.add_argument("--freeze-reader", action="store_true", help="train the query encoder alone")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    options = MarginalOptions(documents=arguments.documents)
    if arguments.freeze_reader:
        options = MarginalOptions(documents=arguments.documents, reader_lr=0.0)
    loop = LoopOptions(minutes=arguments.minutes, threads=arguments.threads, seed=arguments.seed)
    scores = train_retriever(arguments.data, arguments.reader, arguments.out, loop, options)
    for name, figures in scores.items():
        sys.stdout.write(f"{name}: " + ", ".join(f"{key} {value:.3f}" for key, value in figures.items()) + "\n")
    sys.stdout.write(f"query encoder written to {arguments.out / 'query-encoder'}, log to {arguments.out / LOG_NAME}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
