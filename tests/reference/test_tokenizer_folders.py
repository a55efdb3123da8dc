"""Tokenizers and chats against the libraries that models are made with: transformers, sentencepiece, tiktoken."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoTokenizer

from app.errors import IntegrityError, Unavailable
from app.transformer.model_tokenizer import load_tokenizer
from app.transformer.tokenizer_training import train_tokenizer

LINES = [
    "The Kestrel bridge spans the river Odra; it was opened in 1931.",
    "Where is the bridge, and who built the lowest of its towers?",
    "潮水很低, and the tide is lower than the newest boat.",
    "Numbers: 12, 1,234 and 3.14159 — “quoted” text (in brackets).",
] * 30
TEXTS = [*LINES[:4], "unseen wörds: zebra quartz", "  two  spaces ", "é ﬁ ½", "", "😀 ok", "a\tb"]


def sentencepiece_model(path: Path, **choices: Any) -> Any:
    path.parent.mkdir(parents=True, exist_ok=True)
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LINES), model_writer=written, minloglevel=2, **{"vocab_size": 230, **choices}
    )
    path.write_bytes(written.getvalue())
    return sentencepiece.SentencePieceProcessor(model_file=str(path))


@pytest.mark.parametrize("model_type", ["unigram", "bpe"])
@pytest.mark.parametrize("byte_fallback", [True, False])
@pytest.mark.parametrize("add_dummy_prefix", [True, False])
def test_a_sentencepiece_file_cuts_texts_as_sentencepiece_does(
    tmp_path: Path, model_type: str, byte_fallback: bool, add_dummy_prefix: bool
) -> None:
    size = 450 if byte_fallback else 180
    theirs = sentencepiece_model(
        tmp_path / "any.model",
        model_type=model_type,
        byte_fallback=byte_fallback,
        add_dummy_prefix=add_dummy_prefix,
        vocab_size=size,
        hard_vocab_limit=False,
    )
    ours = load_tokenizer(tmp_path / "any.model")
    assert ours.vocab_size == theirs.vocab_size()
    for text in TEXTS:
        assert ours.encode(text) == theirs.encode(text), text
        if byte_fallback:  # without it sentencepiece writes its own sign for the unknown
            assert ours.decode(ours.encode(text)) == theirs.decode(theirs.encode(text)), text


def test_a_t5_folder_is_converted_with_its_end_and_extra_tokens(tmp_path: Path) -> None:
    theirs = sentencepiece_model(
        tmp_path / "spiece.model", pad_id=0, eos_id=1, unk_id=2, bos_id=-1, vocab_size=180, hard_vocab_limit=False
    )
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "T5Tokenizer", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"})
    )
    ours = load_tokenizer(tmp_path)
    for text in LINES[:4]:
        assert ours.encode(text) == [*theirs.encode(text), 1]
        assert ours.encode(text, special_tokens=False) == theirs.encode(text)
    assert ours.vocab_size == theirs.vocab_size() + 100
    assert ours.encode("a <extra_id_0> b").count(ours.backend.token_to_id("<extra_id_0>")) == 1
    assert ours.id_of("eos_token") == 1


def test_a_llama_2_folder_is_converted_with_its_begin_token(tmp_path: Path) -> None:
    theirs = sentencepiece_model(
        tmp_path / "tokenizer.model", model_type="bpe", byte_fallback=True, vocab_size=450, hard_vocab_limit=False
    )
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps(
            {
                "tokenizer_class": "LlamaTokenizer",
                "add_bos_token": True,
                "add_eos_token": False,
                "bos_token": "<s>",
                "eos_token": "</s>",
                "unk_token": "<unk>",
            }
        )
    )
    ours = load_tokenizer(tmp_path)
    for text in [*LINES[:4], "😀 unseen Ω"]:
        assert ours.encode(text) == [theirs.bos_id(), *theirs.encode(text)]
        assert ours.decode(ours.encode(text)) == text
    # Without a class, the vocabulary file is read alone.
    (tmp_path / "tokenizer_config.json").unlink()
    assert load_tokenizer(tmp_path).encode(LINES[0]) == theirs.encode(LINES[0])


def test_a_tiktoken_vocabulary_cuts_texts_as_tiktoken_does(tmp_path: Path) -> None:
    import tiktoken
    from transformers.convert_slow_tokenizer import TikTokenConverter

    # A vocabulary in tiktoken's form: bytes by rank, longer pieces after the pairs that make them.
    ranks = {bytes([byte]): byte for byte in range(256)}
    for piece in (
        b"th",
        b"the",
        b" t",
        b" th",
        b" the",
        b"in",
        b"ri",
        b"br",
        b"bri",
        b"dg",
        b"dge",
        b"bridge",
        b" b",
        b"19",
    ):
        if piece not in ranks:
            ranks[piece] = len(ranks)
    path = tmp_path / "any.tiktoken"
    path.write_text("".join(f"{base64.b64encode(piece).decode()} {rank}\n" for piece, rank in ranks.items()))
    pattern = TikTokenConverter().pattern
    theirs = tiktoken.Encoding("any", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
    ours = load_tokenizer(path)
    for text in [*TEXTS, *LINES[:4]]:
        assert ours.encode(text) == theirs.encode(text), text
        assert ours.decode(ours.encode(text)) == text


CHATS = {
    "chatml": """
{%- if messages[0]['role'] == 'system' %}
    {{- '<|im_start|>system\n' + messages[0]['content'] + '<|im_end|>\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role != 'system' or not loop.first %}
        {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}
    {%- endif %}
{%- endfor %}
{%- for tool in tools %}{{- tool | tojson }}{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
{%- endif %}""",
    "headers": """{{- bos_token }}
{%- set ns = namespace(seen=0) %}
{%- for message in messages %}
    {%- set ns.seen = ns.seen + 1 %}
    {{- '<|start|>' + message['role'] + '<|end|>\n\n'+ message['content'] | trim + eos_token }}
{%- endfor %}
{{- ns.seen }}
    {% if add_generation_prompt %}
<|start|>
    {% endif %}
""",
    "alternating": """
{% for message in messages %}
    {% if message['role'] == 'system' %}{% continue %}{% endif %}
    {% if message['role'] == 'user' %}
        {{ bos_token + '[INST] ' + message['content'] + ' [/INST]' }}
    {% elif message['role'] == 'assistant' %}
        {% generation %}{{ message['content'] + eos_token }}{% endgeneration %}
    {% else %}
        {{ raise_exception('unknown role') }}
    {% endif %}
{% endfor %}""",
}
MESSAGES = [
    {"role": "system", "content": "Answer from the passages."},
    {"role": "user", "content": "  Where is the bridge? <é> "},
    {"role": "assistant", "content": "Over the Odra."},
    {"role": "user", "content": "And\nwhen?"},
]


@pytest.mark.parametrize("name", CHATS)
@pytest.mark.parametrize("add_generation_prompt", [True, False])
@pytest.mark.parametrize("in_file", [True, False])
def test_chats_equal_those_of_transformers(
    tmp_path: Path, name: str, add_generation_prompt: bool, in_file: bool
) -> None:
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("\n".join(LINES), encoding="utf-8")
    folder = tmp_path / "model"
    controls = ["<|im_start|>", "<|im_end|>", "<|start|>", "<|end|>"]
    train_tokenizer("byte-bpe", [corpus], folder, vocab_size=400, extra_tokens=controls)
    if in_file:
        (folder / "chat_template.jinja").write_text(CHATS[name], encoding="utf-8")
    else:
        config = json.loads((folder / "tokenizer_config.json").read_text())
        (folder / "tokenizer_config.json").write_text(json.dumps({**config, "chat_template": CHATS[name]}))
    theirs = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    ours = load_tokenizer(folder)
    tools = [{"type": "function", "function": {"name": "look_up", "parameters": {"q": "é<"}}}]
    given: dict[str, Any] = {"add_generation_prompt": add_generation_prompt, "tools": tools}
    assert ours.apply_chat_template(MESSAGES, **given) == theirs.apply_chat_template(MESSAGES, tokenize=False, **given)
    expected = theirs.apply_chat_template(MESSAGES, tokenize=True, return_dict=False, **given)
    assert ours.encode_chat(MESSAGES, **given) == expected


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"add_bos_token": True, "bos_token": "<s>", "eos_token": "</s>"},
        {"add_bos_token": False, "add_eos_token": True, "bos_token": "<s>", "eos_token": "</s>"},
        {"bos_token": "<s>", "pad_token": "<new>"},
        {"eos_token": {"__type": "AddedToken", "content": "</s>", "special": True}},
        {"added_tokens_decoder": {"9": {"content": "<tool>", "special": False}}, "bos_token": "<s>"},
    ],
)
@pytest.mark.parametrize("with_ends", [True, False])
def test_special_tokens_are_those_of_transformers(tmp_path: Path, said: dict[str, Any], with_ends: bool) -> None:
    vocabulary = {word: number for number, word in enumerate(["<unk>", "<s>", "</s>", "the", "bridge", "is", "<pad>"])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(["<s>", "</s>"])
    if with_ends:
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    tokenizer.enable_truncation(3)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 3, **said}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    theirs = AutoTokenizer.from_pretrained(str(tmp_path), local_files_only=True)
    ours = load_tokenizer(tmp_path)
    for text in ("the bridge is the bridge", "</s> the <new> <tool> bridge", ""):
        assert ours.encode(text) == theirs(text, truncation=False)["input_ids"]
        assert ours.encode(text, special_tokens=False) == theirs(text, add_special_tokens=False)["input_ids"]
    assert ours.vocab_size == len(theirs)
    for name in ("bos_token", "eos_token", "pad_token"):
        assert ours.id_of(name) == getattr(theirs, f"{name}_id"), name


def test_what_is_no_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="is missing"):
        load_tokenizer(tmp_path / "nowhere")
    with pytest.raises(Unavailable, match=r"no tokenizer\.json"):
        load_tokenizer(tmp_path)
    (tmp_path / "broken.model").write_bytes(b"\xff\xfe no model")
    with pytest.raises(Unavailable, match="no SentencePiece model"):
        load_tokenizer(tmp_path / "broken.model")
    (tmp_path / "vocab.bin").write_bytes(b"")
    with pytest.raises(Unavailable, match=r"what is read is tokenizer\.json"):
        load_tokenizer(tmp_path / "vocab.bin")
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(IntegrityError, match=r"tokenizer\.json can't be read"):
        load_tokenizer(tmp_path)
