"""The llama.cpp side of `benchmarks.local_models`: for an interpreter of its own with llama-cpp-python and gguf.

It writes a Qwen2 folder's weights as GGUF files (Q8_0 and Q4_0) and then answers lines of JSON on its standard input:
`{"name": "Q4_0", "prompt": [ids], "tokens": n}` → `{"prefill_s": seconds, "step_s": [seconds of each token]}`.
Only the standard library, numpy and these two packages are imported: the interpreter needs nothing of ours.
"""

from __future__ import annotations

import json
import struct
import sys
import time
from pathlib import Path
from typing import Any

import gguf
import llama_cpp
import numpy as np

_LAYER_NAMES = {
    "input_layernorm.weight": "attn_norm.weight",
    "post_attention_layernorm.weight": "ffn_norm.weight",
    "self_attn.q_proj.weight": "attn_q.weight",
    "self_attn.q_proj.bias": "attn_q.bias",
    "self_attn.k_proj.weight": "attn_k.weight",
    "self_attn.k_proj.bias": "attn_k.bias",
    "self_attn.v_proj.weight": "attn_v.weight",
    "self_attn.v_proj.bias": "attn_v.bias",
    "self_attn.o_proj.weight": "attn_output.weight",
    "mlp.gate_proj.weight": "ffn_gate.weight",
    "mlp.up_proj.weight": "ffn_up.weight",
    "mlp.down_proj.weight": "ffn_down.weight",
}
_NAMES = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}


def main() -> None:
    folder, scratch, threads = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    contexts = {}
    for name in sys.argv[4:]:
        target = scratch / f"{name}.gguf"
        if not target.exists():
            write_gguf(folder, target, gguf.GGMLQuantizationType[name])
        contexts[name] = _open(target, threads)
    _say({"ready": sorted(contexts), "system": llama_cpp.llama_print_system_info().decode()})
    for line in sys.stdin:
        asked = json.loads(line)
        _say(_run(contexts[asked["name"]], asked["prompt"], asked["tokens"]))


def write_gguf(folder: Path, target: Path, kind: gguf.GGMLQuantizationType) -> None:
    """Write the Qwen2 model of `folder` to `target`: matrices as `kind`, norms and biases float32, no vocabulary."""
    config = json.loads((folder / "config.json").read_text())
    if config["model_type"] != "qwen2":
        raise SystemExit(f"model_type={config['model_type']!r}: this minimal converter writes qwen2 only")
    rotary = config.get("rope_parameters") or config
    writer = gguf.GGUFWriter(target, "qwen2")
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(rotary["rope_theta"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_tokenizer_model("no_vocab")
    writer.add_file_type(gguf.LlamaFileType[f"MOSTLY_{kind.name}"])
    for name, array in _tensors(folder):
        if array.ndim == 2:
            writer.add_tensor(_target_name(name), gguf.quants.quantize(array, kind), raw_dtype=kind)
        else:
            writer.add_tensor(_target_name(name), array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _target_name(name: str) -> str:
    if name in _NAMES:
        return _NAMES[name]
    _, _, layer, rest = name.split(".", 3)
    return f"blk.{layer}.{_LAYER_NAMES[rest]}"


def _tensors(folder: Path) -> list[tuple[str, np.ndarray[Any, np.dtype[np.float32]]]]:
    """The tensors of a one-file folder, bfloat16 or float32, as float32."""
    raw = (folder / "model.safetensors").read_bytes()
    (size,) = struct.unpack("<Q", raw[:8])
    described = json.loads(raw[8 : 8 + size])
    found = []
    for name, entry in described.items():
        if name == "__metadata__":
            continue
        start, end = (8 + size + offset for offset in entry["data_offsets"])
        if entry["dtype"] == "BF16":  # the upper half of a float32
            array = (np.frombuffer(raw[start:end], dtype="<u2").astype(np.uint32) << 16).view(np.float32)
        elif entry["dtype"] == "F32":
            array = np.frombuffer(raw[start:end], dtype="<f4")
        else:
            raise SystemExit(f"{name}: dtype {entry['dtype']} is neither BF16 nor F32")
        found.append((name, array.reshape(entry["shape"])))
    return found


def _open(path: Path, threads: int) -> Any:
    llama_cpp.llama_log_set(_SILENT, None)
    model = llama_cpp.llama_model_load_from_file(str(path).encode(), llama_cpp.llama_model_default_params())
    params = llama_cpp.llama_context_default_params()
    params.n_ctx, params.n_batch, params.n_ubatch = 2_048, 2_048, 512
    params.n_threads = params.n_threads_batch = threads
    context = llama_cpp.llama_init_from_model(model, params)
    if not context:
        raise SystemExit(f"llama.cpp could not open {path}")
    return context


def _run(context: Any, prompt: list[int], tokens: int) -> dict[str, Any]:
    vocab = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(llama_cpp.llama_get_model(context)))
    llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(context), True)
    started = time.perf_counter()
    token = _next(context, prompt, vocab)
    prefill_s = time.perf_counter() - started
    step_s = []
    for _ in range(tokens):
        started = time.perf_counter()
        token = _next(context, [token], vocab)
        step_s.append(time.perf_counter() - started)
    return {"prefill_s": prefill_s, "step_s": step_s}


def _next(context: Any, tokens: list[int], vocab: int) -> int:
    ids = (llama_cpp.llama_token * len(tokens))(*tokens)
    if llama_cpp.llama_decode(context, llama_cpp.llama_batch_get_one(ids, len(tokens))):
        raise SystemExit("llama_decode failed")
    logits = llama_cpp.llama_get_logits_ith(context, -1)
    return int(np.ctypeslib.as_array(logits, shape=(vocab,)).argmax())


@llama_cpp.llama_log_callback
def _SILENT(level: int, text: bytes, user_data: Any) -> None:
    """llama.cpp's messages would mix with the answers."""


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
