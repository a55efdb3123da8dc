"""The trained LambdaMART model in service: hits in, hits in a better order out."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from app.errors import IntegrityError, InvalidInput, Unavailable
from app.rerank.features import FEATURES, CorpusStatistics, build
from app.types import Hit

BUNDLED = Path(__file__).resolve().parent.parent / "bundled" / "reranker" / "model.txt"
CHECKSUMS = "SHA256SUMS"


class Ranker:
    """A LightGBM model over `FEATURES`. Threads may share it."""

    def __init__(self, booster: Any) -> None:
        names = tuple(booster.feature_name())
        if names != FEATURES:
            lacking = [name for name in FEATURES if name not in names]
            unknown = [name for name in names if name not in FEATURES]
            raise InvalidInput(
                f"reranker model: its {len(names)} features are not this version's {len(FEATURES)} in their order "
                f"(lacking: {', '.join(lacking) or 'none'}; unknown: {', '.join(unknown) or 'none'}); "
                "train it again with `attest train reranker`, or unset ATTEST_RERANK__MODEL for the shipped one"
            )
        self._booster = booster
        self._turn = threading.Lock()

    @classmethod
    def load(cls, path: Path | None = None) -> Self:
        """The model in `path`, or the shipped one; its checksum is verified where `SHA256SUMS` lies beside it.

        Args:
            path: a LightGBM text file; None for the shipped model, whose checksum must be there.

        Raises:
            Unavailable: there is no such file.
            IntegrityError: the file is not what its checksum says, or no model at all.
            InvalidInput: the model was trained on other features.
        """
        file = path or BUNDLED
        if not file.is_file():
            raise Unavailable(
                f"reranker model {file.name}: no such file; set ATTEST_RERANK__MODEL to a model that "
                "`attest train reranker` wrote, unset it for the shipped one, or set ATTEST_RERANK__ENABLED=false"
            )
        text = file.read_bytes()
        _verify(file, text, required=path is None)
        import lightgbm

        try:
            booster = lightgbm.Booster(model_str=text.decode("utf-8"))
        except (lightgbm.basic.LightGBMError, UnicodeDecodeError) as error:
            raise IntegrityError(
                f"reranker model {file.name} is no LightGBM text model: reinstall the package, or train it again"
            ) from error
        return cls(booster)

    def model_text(self) -> str:
        """LightGBM's own text of the model: what `load` reads."""
        text: str = self._booster.model_to_string()
        return text

    def rerank(self, query: str, hits: Sequence[Hit], statistics: CorpusStatistics) -> tuple[Hit, ...]:
        """The hits by falling model score, ties in the order given, each with `scores["rerank"]` and `ranks["rerank"]`.

        Args:
            query: the original question.
            hits: the whole candidate list of one search, first-stage order.
            statistics: of the collections searched.
        """
        if not hits:
            return ()
        rows = build(query, hits, statistics)
        with self._turn:
            scores = self._booster.predict(rows, raw_score=True, num_threads=1).tolist()
        order = sorted(range(len(hits)), key=lambda index: (-scores[index], index))
        return tuple(
            replace(
                hits[index],
                scores={**hits[index].scores, "rerank": scores[index]},
                ranks={**hits[index].ranks, "rerank": rank},
            )
            for rank, index in enumerate(order, start=1)
        )


def _verify(file: Path, text: bytes, *, required: bool) -> None:
    sums = file.parent / CHECKSUMS
    if not sums.is_file():
        if required:
            raise IntegrityError(f"{CHECKSUMS} is missing beside the shipped reranker: reinstall the package")
        return
    lines = (line.split(maxsplit=1) for line in sums.read_text(encoding="ascii").splitlines() if line.strip())
    expected = {name.lstrip("*"): digest for digest, name in lines}.get(file.name)
    found = hashlib.sha256(text).hexdigest()
    if found != expected:
        raise IntegrityError(
            f"reranker model {file.name}: sha256 is {found}, {CHECKSUMS} says {expected or 'nothing of it'}; "
            "reinstall the package, or train it again with `attest train reranker --data DIR`"
        )
