"""Train the verifier of the reader's answers: `attest train verifier --data DIR --minutes 40 [--language zh]`.

First the bundled reader reads the training questions, once: its guesses are kept in `OUT/mined.jsonl`. Then the upper
blocks of its encoder, with a head of their own, learn to tell the right ones. `OUT/verifier` is the result.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from app.errors import InvalidInput, Unavailable
from app.generation.reader import load_reader
from app.generation.verifier import RowBuilder
from app.training.behaviours.loading import Behaviour, load_behaviours
from app.training.loop import LOG_NAME, LoopOptions, device_of_choice, run_training
from app.training.verifier.courses import COURSES, Course
from app.training.verifier.examples import GroupBuilder, Rows, VerifierSource, behaviour_groups
from app.training.verifier.mining import MINED_NAME, Mined, mine, read_mined
from app.training.verifier.objective import VerifierObjective, VerifierRates
from app.transformer.checkpoints import WEIGHTS_NAME, sha256_of
from app.transformer.pointer_checkpoints import TOKENIZER_NAME, read_manifest
from app.transformer.tokenizers import TextTokenizer
from app.transformer.verifier import AnswerVerifier, VerifierConfig
from app.transformer.verifier_checkpoints import (
    VerifierManifest,
    load_verifier,
    read_verifier_manifest,
    save_verifier,
    verifier_on,
)


def new_verifier(
    reader_folder: Path, course: Course = COURSES["en"], seed: int = 0, start: Path | None = None
) -> tuple[AnswerVerifier, VerifierConfig]:
    """Return a verifier in float32 over the reader's encoder, and its sizes.

    Args:
        reader_folder: of the reader.
        course: the sizes.
        seed: of an untrained head.
        start: folder of a verifier whose own blocks and head are taken instead of copies and an untrained head.

    Raises:
        InvalidInput: `start` holds no verifier, or one of other sizes.
    """
    torch.manual_seed(seed)
    config = VerifierConfig(
        read_manifest(reader_folder).config.encoder,
        shared_layers=course.shared_layers,
        show_matches=course.show_matches,
    )
    encoder = load_reader(reader_folder, dtype=torch.float32, verify=False).pointer.encoder
    if start is None:
        return verifier_on(encoder, config, shared=False).float(), config
    try:
        found = read_verifier_manifest(start)
    except (OSError, ValueError) as error:
        raise InvalidInput(
            f"{start} holds no verifier ({error}): give the folder of one, such as RUN/verifier"
        ) from None
    if found.config != config:
        raise InvalidInput(f"{start} is a verifier of other sizes than {course.model_name}: choose another")
    return load_verifier(start, encoder, dtype=torch.float32, remedy="copy the folder again")[0], config


def mined_rows(data_dir: Path, out_dir: Path, reader_folder: Path, course: Course, seed: int) -> list[Mined]:
    """Return the reader's guesses for the training and development questions, read now or by an earlier run."""
    out_dir.mkdir(parents=True, exist_ok=True)
    return mine(
        load_reader(reader_folder, verify=False),
        course.questions(data_dir),
        data_dir,
        out_dir / MINED_NAME,
        course.shares,
        seed=seed,
        report=_report,
    )


def train_verifier(
    mined: Sequence[Mined],
    source: VerifierSource,
    out_dir: Path,
    reader_folder: Path,
    loop: LoopOptions,
    rates: VerifierRates | None = None,
    *,
    course: Course = COURSES["en"],
    scored: Sequence[Behaviour] = (),
    start: Path | None = None,
) -> Path:
    """Train until the budget is spent and return the path of the last checkpoint; resumes from the one in `out_dir`.

    Args:
        mined: of which those of role "dev" are scored.
        source: of the training rows.
        out_dir: for checkpoint and log.
        reader_folder: of the reader that the verifier stands on.
        loop: how long.
        rates: how fast.
        course: the sizes.
        scored: refusals and their twins that are scored, too.
        start: folder of a verifier to go on from.
    """
    model, config = new_verifier(reader_folder, course, loop.seed, start)
    tokenizer = TextTokenizer(reader_folder / TOKENIZER_NAME)
    builder = RowBuilder(tokenizer, config)
    groups = behaviour_groups(scored, course.mixture.behaviour_languages)
    objective = VerifierObjective(
        model.to(device_of_choice()),
        config.shared_layers,
        GroupBuilder(source),
        Rows(tokenizer, builder),
        [one for one in mined if one.role == "dev"],
        rates or VerifierRates(),
        pad_id=builder.special.pad,
        near_misses=[judged for group in groups for judged in group],
    )
    return run_training(objective, out_dir, loop)


def export_verifier(
    checkpoint: Path,
    reader_folder: Path,
    folder: Path,
    course: Course = COURSES["en"],
    average_with: Path | None = None,
) -> None:
    """Write the verifier of `checkpoint` to `folder`; it serves with the reader of `reader_folder` and no other.

    Args:
        checkpoint: written by `train_verifier`.
        reader_folder: of the reader.
        folder: made if absent.
        course: the sizes.
        average_with: folder of a verifier of the same sizes, such as the one that the training started from: each
            weight is the mean of both, which forgets less of what only the earlier one had.

    Source: averages of fine-tuned weights: Wortsman et al. 2022, section 2.
    """
    model, config = new_verifier(reader_folder, course, start=average_with)
    other = model.state_dict() if average_with else {}
    trained = torch.load(checkpoint, map_location="cpu", weights_only=True)["model"]
    model.load_state_dict({k: (tensor + other[k]) / 2 if k in other else tensor for k, tensor in trained.items()})
    manifest = VerifierManifest(config, sha256_of(reader_folder / WEIGHTS_NAME), {"name": course.model_name})
    save_verifier(model, manifest, folder)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line: mine, train, export to `OUT/verifier`, print the dev scores, and return 0."""
    parser = argparse.ArgumentParser(prog="attest train verifier", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="directory that holds rc/*.jsonl.gz")
    parser.add_argument("--out", type=Path, default=Path("verifier-run"), help="directory for checkpoint, log, result")
    parser.add_argument("--minutes", type=float, default=40.0, help="wall-clock budget of training alone")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--eval-minutes", type=float, default=10.0)
    parser.add_argument("--language", choices=sorted(COURSES), default="en", help="zh: of the bilingual reader")
    parser.add_argument("--reader", type=Path, default=None, help="folder of the reader; by default the bundled one")
    parser.add_argument("--start", type=Path, default=None, help="folder of a verifier to go on from")
    parser.add_argument("--average-with", type=Path, default=None, help="folder of a verifier: the result is the mean")
    parser.add_argument("--mined-only", action="store_true", help="train on what OUT/mined.jsonl holds already")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(arguments.threads)
    course = COURSES[arguments.language]
    reader_folder = arguments.reader or course.reader_folder()
    for folder in (arguments.start, arguments.average_with):
        if folder is not None:  # a wrong one is told before the reader reads and the verifier trains for an hour
            new_verifier(reader_folder, course, start=folder)
    if arguments.mined_only and not (arguments.out / MINED_NAME).is_file():
        raise Unavailable(f"{arguments.out / MINED_NAME} is missing: leave --mined-only out, and it will be made")
    if arguments.mined_only:
        mined = read_mined(arguments.out / MINED_NAME)
    else:
        mined = mined_rows(arguments.data, arguments.out, reader_folder, course, arguments.seed)
    told, scored = course.parted(load_behaviours("train", ("refusal", "sentence")))
    sentences = [q for q in course.questions(arguments.data) if q.collection == "qamr_sentence" and q.role == "train"]
    source = VerifierSource([one for one in mined if one.role == "train"], sentences, told, course.mixture)
    loop = LoopOptions(
        minutes=arguments.minutes,
        threads=arguments.threads,
        seed=arguments.seed,
        eval_minutes=arguments.eval_minutes,
    )
    checkpoint = train_verifier(
        mined, source, arguments.out, reader_folder, loop, course=course, scored=scored, start=arguments.start
    )
    export_verifier(checkpoint, reader_folder, arguments.out / "verifier", course, arguments.average_with)
    lines = (arguments.out / LOG_NAME).read_text(encoding="utf-8").splitlines()
    scores = [line for line in lines if json.loads(line)["kind"] == "dev"][-1]
    sys.stdout.write(f"{scores}\nverifier written to {arguments.out / 'verifier'}\n")
    return 0


def _report(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
