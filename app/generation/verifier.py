"""A second look at an answer: does the sentence that it was copied from really answer this question with it?

The reader ranks spans; its own "no answer" says little where a passage speaks of the right things and another relation
("the chief executive of Acme" for "who founded Acme?"). The verifier reads the question and that sentence again, the
answer marked, and its log-odds are one more piece of evidence for the calibrator.

Source: read + verify: Hu et al. 2019, section 3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import torch

from app.generation.row_encoder import RowEncoder
from app.index.analysis import sentence_spans
from app.transformer.checkpoints import WEIGHTS_NAME
from app.transformer.encoder import BertEncoder
from app.transformer.pointer_rows import SpecialIds
from app.transformer.tokenizers import TextTokenizer, TokenizedText
from app.transformer.verifier import AnswerVerifier, MarkedRow, MarkIds, VerifierConfig, marked_row, pad_marked
from app.transformer.verifier import room_for_text as room_beside
from app.transformer.verifier_checkpoints import load_verifier, read_verifier_manifest

MARKS = ("«", "»")


@dataclass(frozen=True, slots=True)
class Claim:
    """An answer in its text: characters `[start, end)` of `text`, whose tokens are `tokens`; `heading_ids` above it."""

    text: str
    tokens: TokenizedText
    heading_ids: Sequence[int]
    start: int
    end: int


class RowBuilder:
    """Builds the rows that the verifier reads, in training and in service.

    Args:
        tokenizer: of the reader that it stands on.
        config: its sizes.
    """

    def __init__(self, tokenizer: TextTokenizer, config: VerifierConfig) -> None:
        self._config = config
        self._marks = MarkIds(*(tokenizer.token_id(token) for token in MARKS))
        self.special = SpecialIds(*(tokenizer.token_id(token) for token in ("[CLS]", "[SEP]", "[PAD]")))

    def row(self, question_ids: Sequence[int], claim: Claim) -> MarkedRow | None:
        """Return the row of a claim, None where its span holds no token.

        It shows the sentence of the answer and, where there is room, the one before it, which pronouns point to; of a
        sentence that is too long it shows the tokens around the answer.
        """
        config = self._config
        question = question_ids[: config.max_question_tokens]
        heading = claim.heading_ids[: config.max_heading_tokens]
        room = room_beside(question, heading, config.max_tokens)
        answer = _tokens_within(claim.tokens, claim.start, claim.end)
        if answer is None:
            return None
        first, last = answer[0], min(answer[1], answer[0] + room)
        low, high = _shown(claim, (first, last), room)
        ids = claim.tokens.ids[low:high]
        answered = (first - low, last - low)
        return marked_row(self.special, self._marks, question, heading, ids, answered, show_matches=config.show_matches)


class Verifier:
    """Returns the log-odds that answers are right, one short batch for all of them; any thread may call it.

    Args:
        model: in evaluation mode, on the CPU.
        config: its sizes.
        tokenizer: of the reader that it stands on.
        name: model identity.
    """

    def __init__(self, model: AnswerVerifier, config: VerifierConfig, tokenizer: TextTokenizer, name: str) -> None:
        self.name = name
        self._model = model
        self._rows = RowBuilder(tokenizer, config)
        self._encode = RowEncoder(model.encoder, config.encoder, model.output.weight.dtype)

    def __call__(
        self, question_ids: Sequence[int], claims: Sequence[Claim], check: Callable[[], None] = lambda: None
    ) -> list[float | None]:
        """Return natural log-odds, None for a claim without any token.

        Args:
            question_ids: the reader's tokens of the question.
            claims: answers to it.
            check: called before the work, in any thread; may raise.
        """
        rows = [self._rows.row(question_ids, claim) for claim in claims]
        present = [row for row in rows if row is not None]
        if not present:
            return [None] * len(rows)
        tensors, marks = pad_marked(present, self._rows.special.pad)
        states = self._encode(tensors, check)
        with torch.inference_mode():
            logits = iter(self._model.judge(states, marks).tolist())
        return [None if row is None else next(logits) for row in rows]


def verifier_folders() -> tuple[Path, ...]:
    """Return the folders of the verifiers that ship with Attest: of the English reader and of the bilingual one."""
    bundled = Path(str(resources.files("app.bundled")))
    return bundled / "verifier", bundled / "verifier_zh"


def verifier_for(
    reader_sha256: str, encoder: BertEncoder, tokenizer: TextTokenizer, dtype: torch.dtype, *, remedy: str
) -> Verifier | None:
    """Return the bundled verifier that stands on the reader with these weights; None where there is none.

    Args:
        reader_sha256: of the reader's weights file.
        encoder: of that reader.
        tokenizer: of that reader.
        dtype: of the arithmetic.
        remedy: ends the message of every error.

    Raises:
        IntegrityError: a file is not what its checksum says.
    """
    for folder in verifier_folders():
        if (folder / WEIGHTS_NAME).is_file() and read_verifier_manifest(folder).reader_sha256 == reader_sha256:
            model, manifest = load_verifier(folder, encoder, dtype=dtype, remedy=remedy)
            return Verifier(model, manifest.config, tokenizer, str(manifest.settings.get("name", "attest-verifier")))
    return None


def _tokens_within(tokens: TokenizedText, start: int, end: int) -> tuple[int, int] | None:
    """First and one past the last token that overlaps `[start, end)`."""
    inside = [place for place, (low, high) in enumerate(tokens.offsets) if low < end and high > start]
    return (inside[0], inside[-1] + 1) if inside else None


def _shown(claim: Claim, answer: tuple[int, int], room: int) -> tuple[int, int]:
    """The tokens `[low, high)` that are shown, at most `room`."""
    sentences = sentence_spans(claim.text)
    holding = [place for place, (low, high) in enumerate(sentences) if low < claim.end and high > claim.start]
    if holding:
        for before in (1, 0):
            start, end = sentences[max(0, holding[0] - before)][0], sentences[holding[-1]][1]
            shown = _tokens_within(claim.tokens, start, end)
            if shown is not None and shown[1] - shown[0] <= room:
                return min(shown[0], answer[0]), max(shown[1], answer[1])
    first, last = answer
    spare = (room - (last - first)) // 2
    high = min(len(claim.tokens.ids), last + spare)
    return max(0, high - room if high == len(claim.tokens.ids) else first - spare), high
