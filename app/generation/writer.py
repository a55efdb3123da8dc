"""The bundled writer: rewrites questions and says short answers in full, in tens of milliseconds and without a network.

English only. What it writes is checked against what it was given (`writer_checks`); what fails is not returned.
"""

from __future__ import annotations

import functools
import logging
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import torch

from app.errors import Cancelled, IntegrityError, InvalidInput, Unavailable
from app.generation.declarative import declarative
from app.generation.reader import MINILM_PACKAGE, REMEDY, bf16_is_native, bundled_folder
from app.generation.row_encoder import RowEncoder
from app.generation.writer_checks import (
    follow_up_is_faithful,
    question_is_faithful,
    sentence_is_faithful,
    steps_are_faithful,
    wording_is_faithful,
)
from app.generation.writer_kernels import pack
from app.generation.writer_spelling import Speller
from app.transformer.checkpoints import WEIGHTS_NAME, sha256_of
from app.transformer.pointer_checkpoints import TOKENIZER_NAME, load_pointer_reader
from app.transformer.pointer_rows import SpecialIds
from app.transformer.tokenizers import TextTokenizer
from app.transformer.writer import Writer
from app.transformer.writer_checkpoints import STEP_BREAK, TASKS, WriterManifest, load_writer
from app.transformer.writer_rows import padded, writer_row
from app.transformer.writer_search import Written, write

DEFAULT_NAME = "attest-writer"
_log = logging.getLogger(__name__)
_BEAMS = 4
_MOST_CHARS = 4_000  # of each part of a source: a row holds fewer tokens
_NOT_LATIN = re.compile(
    r"[\u0400-\u04ff\u0590-\u06ff\u0900-\u0dff\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]"
)


@dataclass(frozen=True, slots=True)
class _Parts:
    model: Writer
    manifest: WriterManifest
    tokenizer: TextTokenizer
    pieces: list[str]
    special: SpecialIds
    encode: RowEncoder


class BundledWriter:
    """Loads at its first use; threads may share it.

    Args:
        folder: written by `save_writer`; by default the bundled one.
        reader_folder: of the reader whose encoder it reads through; by default the bundled one.
        encoder_folder: of the MiniLM weights with that reader's word vectors; by default the installed package's.
    """

    def __init__(
        self,
        folder: Path | None = None,
        reader_folder: Path | None = None,
        encoder_folder: Path | None = None,
    ) -> None:
        self._folder = bundled_writer_folder() if folder is None else folder
        self._reader_folder = bundled_folder() if reader_folder is None else reader_folder
        self._encoder_folder = _minilm() if encoder_folder is None else encoder_folder
        self._parts: _Parts | None = None
        self._loading = threading.Lock()

    @property
    def name(self) -> str:
        """Model identity and version, as the manifest gives it.

        Raises:
            Unavailable, IntegrityError: as `write`.
        """
        return str(self._loaded().manifest.settings.get("name", DEFAULT_NAME))

    def write(
        self,
        task: str,
        question: str,
        *,
        heading: str = "",
        passage: str = "",
        most: int = 1,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> list[str]:
        """What it writes, checked, best first: the steps of "decompose", up to `most` texts of any other task.

        Empty where nothing passes the checks or the writer was less sure than its manifest asks for (`least_logprob`),
        where a question is simple ("decompose"), or where it is not in a script that the vocabulary spells.

        Args:
            task: of `TASKS`.
            question: to be rewritten or, for "sentence", the one that was answered.
            heading: for "standalone" the question before, for "sentence" the short answer.
            passage: for "standalone" the answer before, for "sentence" the source sentence.
            most: texts wanted.
            cancelled: stops the writing.

        Raises:
            InvalidInput: no such task. Cancelled: `cancelled()` was true.
            Unavailable, IntegrityError: the model's files are missing or not what their checksums say.
        """
        least = self._loaded().manifest.settings.get("least_logprob", {}).get(task, float("-inf"))
        offers = self.offers(task, question, heading=heading, passage=passage, cancelled=cancelled)
        sure = [texts for texts, logprob in offers if logprob >= least]
        return [text for texts in sure[: 1 if task == "decompose" else most] for text in texts]

    def offers(
        self,
        task: str,
        question: str,
        *,
        heading: str = "",
        passage: str = "",
        cancelled: Callable[[], bool] = lambda: False,
    ) -> list[tuple[list[str], float]]:
        """What passes the checks, best first, with its mean natural log-probability of a token, however small.

        Each is one text or, for "decompose", the steps. Arguments and errors as of `write`.
        """
        if task not in TASKS:
            raise InvalidInput(f"task={task!r} is none of {', '.join(TASKS)}")
        given = [" ".join(text.split())[:_MOST_CHARS] for text in (question, heading, passage)]
        if not given[0] or _NOT_LATIN.search(given[0]):
            return []
        found: list[tuple[list[str], float]] = []
        for text, logprob in self.texts(task, *given, cancelled=cancelled):
            if task == "decompose":
                steps = [step.strip() for step in text.split(STEP_BREAK.strip()) if step.strip()]
                if not steps:  # more probable than what comes after it: there is nothing to take apart
                    break
                said = [step[:1].upper() + step[1:] for step in steps]
                passes = steps_are_faithful(said, given[0])
            else:
                said, passes = [text], _passes(task, text, *given)
            if passes and said not in [texts for texts, _ in found]:
                found.append((said, logprob))
        return found

    def texts(
        self,
        task: str,
        question: str,
        heading: str = "",
        passage: str = "",
        *,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> list[tuple[str, float]]:
        """What the beams write, best first and unchecked, each with its mean natural log-probability of a token."""
        parts = self._loaded()

        def check() -> None:
            if cancelled():
                raise Cancelled("the caller cancelled the text while it was being written")

        pieces = [parts.tokenizer.encode([text])[0].ids if text else [] for text in (question, heading, passage)]
        row = writer_row(parts.special, *pieces, max_tokens=parts.model.config.max_tokens)
        rows, segments = padded([row], parts.special)
        states = parts.encode(rows, check)

        def search() -> list[Written]:
            with torch.inference_mode():
                dtype = parts.model.task.weight.dtype
                source = parts.model.read(states.to(dtype), rows.token_ids, segments, rows.mask, rows.copyable)
                number, end = TASKS.index(task), parts.special.sep
                return write(parts.model, source, number, end, num_beams=_BEAMS, check=check)

        found = parts.encode.lanes.alone(search)
        speller = Speller(parts.tokenizer, parts.pieces, [text for text in (heading, question, passage) if text])
        return [(speller.spell(one.ids), one.mean_logprob) for one in found]

    def sentence(self, question: str, answer: str, source: str) -> str | None:
        """A statement that answers `question` and holds `answer`; None where none that it wrote is faithful.

        The rules of `declarative` speak first, for what they are sure of; the model writes the others.
        """
        stated = declarative(question, answer, source)
        if stated is not None and sentence_is_faithful(stated, question, answer, source):
            return stated
        try:
            return next(iter(self.write("sentence", question, heading=answer, passage=source)), None)
        except (Unavailable, IntegrityError) as failure:  # the answer is there without its sentence
            _log.warning("the writer could not say an answer in full: %s", failure.message)
            return None

    def _loaded(self) -> _Parts:
        with self._loading:
            if self._parts is None:
                self._parts = self._load()
            return self._parts

    def _load(self) -> _Parts:
        dtype = torch.bfloat16 if bf16_is_native() else torch.float32
        reader, described = load_pointer_reader(self._reader_folder, self._encoder_folder, dtype=dtype, remedy=REMEDY)
        model, manifest = load_writer(
            self._folder, reader.encoder.embeddings.word.weight.detach(), dtype=dtype, remedy=REMEDY
        )
        if sha256_of(self._reader_folder / WEIGHTS_NAME) != manifest.reader_sha256:
            raise IntegrityError(f"{self._folder} was trained with another reader than {self._reader_folder}: {REMEDY}")
        tokenizer = TextTokenizer(self._folder / TOKENIZER_NAME)
        special = SpecialIds(*(tokenizer.token_id(token) for token in ("[CLS]", "[SEP]", "[PAD]")))
        encode = RowEncoder(reader.encoder, described.config.encoder, dtype)
        served = pack(model) if dtype == torch.bfloat16 else model
        return _Parts(served, manifest, tokenizer, tokenizer.vocabulary(), special, encode)


def bundled_writer_folder() -> Path:
    """Return the folder of the writer that ships with Attest."""
    return Path(str(resources.files("app.bundled"))) / "writer"


def _minilm() -> Path:
    return Path(str(resources.files(MINILM_PACKAGE))) / "model"


@functools.cache
def bundled_writer() -> BundledWriter | None:
    """Return the writer that ships, one for the process; it loads at its first use. None where it is not installed."""
    return BundledWriter() if has_writer() else None


def has_writer() -> bool:
    """Return whether the weights of the bundled writer are installed."""
    return (bundled_writer_folder() / WEIGHTS_NAME).is_file()


def _passes(task: str, text: str, question: str, heading: str, passage: str) -> bool:
    if task == "sentence":
        return sentence_is_faithful(text, question, heading, passage)
    if task == "standalone":
        return follow_up_is_faithful(text, question, heading, passage)
    if task == "step_back":
        return question_is_faithful(text, (question,)) and text.casefold() != question.casefold()
    if task == "paraphrase":
        return wording_is_faithful(text, question)
    return len(text.split()) >= 4
