"""Our BERT encoder against `transformers`, and with the MiniLM weights against `sentence-transformers`."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import BertConfig as TheirConfig
from transformers import BertModel

from app.embedding.weights import PACKAGED_SHA256, packaged_folder
from app.errors import IntegrityError, Unavailable
from app.transformer.checkpoints import load_bert_encoder, save_bert_encoder, sha256_of
from app.transformer.encoder import BertConfig, build_bert_encoder, mean_pool
from app.transformer.tokenizers import TextTokenizer

IDS = torch.tensor([[2, 7, 9, 11, 3], [2, 5, 3, 0, 0]])
MASK = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], dtype=torch.bool)
TYPES = torch.tensor([[0, 0, 0, 1, 1], [0, 1, 1, 0, 0]])


def tiny_bert(activation: str) -> BertModel:
    torch.manual_seed(3)
    sizes = TheirConfig(
        vocab_size=40,
        hidden_size=24,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=16,
        hidden_act=activation,
    )
    return BertModel(sizes, add_pooling_layer=False).eval()


@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "relu"])
def test_equals_transformers_bert(tmp_path: Path, activation: str) -> None:
    theirs = tiny_bert(activation)
    theirs.save_pretrained(tmp_path)
    ours, _ = load_bert_encoder(tmp_path)
    with torch.inference_mode():
        expected = theirs(input_ids=IDS, attention_mask=MASK.long(), token_type_ids=TYPES).last_hidden_state
        got = ours(IDS, MASK, TYPES)
    torch.testing.assert_close(got[MASK], expected[MASK], atol=1e-5, rtol=0)


def test_transformers_reads_what_we_save(tmp_path: Path) -> None:
    torch.manual_seed(4)
    config = BertConfig(vocab_size=40, embed_dim=24, num_layers=2, num_heads=4, ff_dim=48, max_positions=16)
    ours = build_bert_encoder(config).eval()
    save_bert_encoder(ours, config, tmp_path)
    theirs = BertModel.from_pretrained(tmp_path, add_pooling_layer=False, local_files_only=True).eval()
    again, config_again = load_bert_encoder(tmp_path)
    assert config_again == config
    with torch.inference_mode():
        got = ours(IDS, MASK, TYPES)
        expected = theirs(input_ids=IDS, attention_mask=MASK.long(), token_type_ids=TYPES).last_hidden_state
        torch.testing.assert_close(got[MASK], expected[MASK], atol=1e-5, rtol=0)
        torch.testing.assert_close(again(IDS, MASK, TYPES), got, atol=0, rtol=0)


def test_a_changed_or_missing_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"config\.json is missing"):
        load_bert_encoder(tmp_path)
    tiny_bert("gelu").save_pretrained(tmp_path)
    weights = tmp_path / "model.safetensors"
    good = sha256_of(weights)
    load_bert_encoder(tmp_path, good)
    changed = bytearray(weights.read_bytes())
    changed[-1] ^= 1
    weights.write_bytes(changed)
    with pytest.raises(IntegrityError, match="reinstall"):
        load_bert_encoder(tmp_path, good)


def test_minilm_embeddings_equal_sentence_transformers() -> None:
    from sentence_transformers import SentenceTransformer

    texts = ["Where is the bridge?", "The Kestrel bridge spans the river Odra; it was opened in 1931.", "naïve café"]
    expected = torch.from_numpy(SentenceTransformer(str(packaged_folder()), device="cpu").encode(texts))

    encoder, config = load_bert_encoder(packaged_folder(), PACKAGED_SHA256)
    tokenizer = TextTokenizer(packaged_folder() / "tokenizer.json")
    tokens = [[tokenizer.token_id("[CLS]"), *t.ids, tokenizer.token_id("[SEP]")] for t in tokenizer.encode(texts)]
    longest = max(len(ids) for ids in tokens)
    ids = torch.tensor([row + [config.pad_token_id] * (longest - len(row)) for row in tokens])
    mask = torch.tensor([[i < len(row) for i in range(longest)] for row in tokens])
    with torch.inference_mode():
        states = encoder(ids, mask)
    ours = torch.nn.functional.normalize(mean_pool(states, mask), dim=1)
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=0)
