"""Local models on this CPU: our core beside `transformers` and llama.cpp, on the same random Qwen2-0.5B-shaped weights.

    python -m benchmarks.local_models [--prompt-tokens 1024] [--tokens 32] [--rounds 5] [--llama-python PYTHON]
        [--kernels native torch] [--kinds bf16 int8 int8_dynamic int4]
    python -m benchmarks.local_models --quality --data DIR_OF_TEXT [--model FOLDER]

Speed: batch 1; the time to the first token of the prompt and of each later token. All systems are loaded first and take
turns in every round; medians over rounds (prefill) and over all tokens (decode). `transformers` runs its own forward
pass with its own cache, without the cost of its `generate`. "native" rows run our own compiled kernels, the others
PyTorch's. Random weights: time does not depend on their values.
llama.cpp runs in an interpreter of its own (`--llama-python`, with llama-cpp-python and gguf installed), fed the same
token ids; without it that part is left out.

Quality (`--quality`): perplexity and KL divergence from float32, see `benchmarks.quantization_quality`.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from app.transformer.causal_lm import CausalLM
from app.transformer.checkpoints import load_model
from app.transformer.fuse import fuse
from app.transformer.native import load_kernels
from app.transformer.quantization import KINDS, quantize, weight_bytes
from benchmarks.quantization_quality import report_quality

Turn = Callable[[list[int], int], tuple[float, list[float]]]  # prompt, tokens → prefill seconds, seconds of each token

Clock = Callable[[], float]

_LLAMA_KINDS = ("Q8_0", "Q4_0")
_THEIRS = "transformers bf16"
# Ours beside the form of llama.cpp with as many bits.
_RIVALS = {"int8": "llama.cpp Q8_0", "int8_dynamic": "llama.cpp Q8_0", "int4": "llama.cpp Q4_0"}


@dataclass
class Timings:
    """Seconds of one system: a prefill each round, every decoded token."""

    prefill_s: list[float] = field(default_factory=list)
    step_s: list[float] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompt-tokens", type=int, default=1_024)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--group-size", type=int, default=64, help="of int4")
    parser.add_argument("--layers", type=int, default=24, help="fewer make a quick trial run")
    parser.add_argument("--vocab-size", type=int, default=151_936, help="a smaller one makes a quick trial run")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--kernels", nargs="+", choices=["native", "torch"], default=["native", "torch"])
    parser.add_argument("--llama-python", type=Path, help="interpreter with llama-cpp-python and gguf")
    parser.add_argument("--scratch", type=Path, help="keep the random weights here for the next run")
    parser.add_argument("--quality", action="store_true", help="perplexity and KL divergence instead of speed")
    parser.add_argument("--data", type=Path, help="folder of text for --quality")
    parser.add_argument("--model", type=Path, help="folder of a model for --quality")
    parser.add_argument("--train-minutes", type=float, default=2.0, help="for --quality without --model")
    parser.add_argument(
        "--processor-time",
        action="store_true",
        help="one thread, and the time that it computes: comparable on a machine that others use (not llama.cpp)",
    )
    args = parser.parse_args()
    clock = time.thread_time if args.processor_time else time.perf_counter
    if args.processor_time:
        if args.llama_python is not None:
            parser.error("--processor-time can not look into llama.cpp's process: leave --llama-python out")
        torch.set_num_threads(1)
    if args.quality:
        if args.data is None or not args.data.is_dir():
            parser.error("--quality needs --data DIR_OF_TEXT: a folder with .txt, .md or .jsonl files")
        report_quality(
            args.data,
            args.model,
            train_minutes=args.train_minutes,
            group_size=args.group_size,
            kernels=load_kernels() if "native" in args.kernels else None,
        )
        return
    with contextlib.ExitStack() as cleanup:
        scratch = args.scratch or Path(cleanup.enter_context(tempfile.TemporaryDirectory()))
        folder = scratch / "model"
        theirs = _theirs(folder, args.layers, args.vocab_size, clock)
        turns: dict[str, Turn] = {_THEIRS: theirs}
        sizes: dict[str, int] = {}
        for kind, whose in itertools.product(args.kinds, args.kernels):
            loaded = load_model(folder, dtype=torch.bfloat16).model
            assert isinstance(loaded, CausalLM)
            kernels = load_kernels() if whose == "native" else None
            quantize(fuse(loaded), kind, group_size=args.group_size, kernels=kernels)
            name = _name(kind, whose)
            turns[name] = _ours(loaded, clock)
            sizes[name] = weight_bytes(loaded)
        if args.llama_python is not None:
            turns |= cleanup.enter_context(_llama_cpp(args.llama_python, folder, scratch))
        timings = _measure(turns, args.vocab_size, args.prompt_tokens, args.tokens, args.rounds)
    _print(timings, sizes, args.prompt_tokens)


def _name(kind: str, whose: str) -> str:
    return f"ours {kind}, native" if whose == "native" else f"ours {kind}"


def _theirs(folder: Path, layers: int, vocab_size: int, clock: Clock) -> Turn:
    """Random weights in the shape of Qwen2-0.5B, saved to `folder`; `transformers`' own forward pass over them."""
    from transformers import DynamicCache, Qwen2Config, Qwen2ForCausalLM

    config = Qwen2Config(
        vocab_size=vocab_size,
        hidden_size=896,
        intermediate_size=4_864,
        num_hidden_layers=layers,
        num_attention_heads=14,
        num_key_value_heads=2,
        max_position_embeddings=32_768,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        tie_word_embeddings=True,
    )
    if not (folder / "model.safetensors").exists():
        torch.manual_seed(0)
        Qwen2ForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    model = Qwen2ForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).eval()

    @torch.inference_mode()
    def turn(prompt: list[int], tokens: int) -> tuple[float, list[float]]:
        cache = DynamicCache(config=config)

        def following(token_ids: torch.Tensor) -> torch.Tensor:
            out = model(token_ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
            return out.logits[:, -1].argmax(dim=-1, keepdim=True)

        return _timed(following, torch.tensor([prompt]), tokens, clock)

    return turn


def _ours(model: CausalLM, clock: Clock) -> Turn:
    @torch.inference_mode()
    def turn(prompt: list[int], tokens: int) -> tuple[float, list[float]]:
        store = model.new_store(capacity=len(prompt) + tokens)

        def following(token_ids: torch.Tensor) -> torch.Tensor:
            hidden = model(token_ids, store.begin([len(token_ids)]), store)
            return model.logits(hidden[-1:]).argmax(dim=-1)

        return _timed(following, torch.tensor(prompt), tokens, clock)

    return turn


def _timed(
    following: Callable[[torch.Tensor], torch.Tensor], token_ids: torch.Tensor, tokens: int, clock: Clock
) -> tuple[float, list[float]]:
    seconds = []
    for _ in range(tokens + 1):
        started = clock()
        token_ids = following(token_ids)
        seconds.append(clock() - started)
    return seconds[0], seconds[1:]


@contextlib.contextmanager
def _llama_cpp(python: Path, folder: Path, scratch: Path) -> Iterator[dict[str, Turn]]:
    """One turn for each of llama.cpp's forms; its process ends with the block."""
    script = Path(__file__).with_name("llama_cpp_child.py")
    command = [str(python), str(script), str(folder), str(scratch), str(torch.get_num_threads()), *_LLAMA_KINDS]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdin is not None
        assert child.stdout is not None

        def answer() -> dict[str, Any]:
            line = child.stdout.readline() if child.stdout is not None else ""
            if not line:
                raise SystemExit(f"the llama.cpp process ended (code {child.wait()}); its message is above")
            read: dict[str, Any] = json.loads(line)
            return read

        print("llama.cpp:", answer()["system"].strip())

        def turn_of(name: str) -> Turn:
            def turn(prompt: list[int], tokens: int) -> tuple[float, list[float]]:
                assert child.stdin is not None
                child.stdin.write(json.dumps({"name": name, "prompt": prompt, "tokens": tokens}) + "\n")
                child.stdin.flush()
                measured = answer()
                return measured["prefill_s"], measured["step_s"]

            return turn

        try:
            yield {f"llama.cpp {name}": turn_of(name) for name in _LLAMA_KINDS}
        finally:
            child.stdin.close()


def _measure(
    turns: dict[str, Turn], vocab_size: int, prompt_tokens: int, tokens: int, rounds: int
) -> dict[str, Timings]:
    generator = torch.Generator().manual_seed(0)
    prompt = torch.randint(1_000, vocab_size - 1_936, (prompt_tokens,), generator=generator).tolist()
    for turn in turns.values():
        turn(prompt[:32], 2)
    timings: dict[str, Timings] = defaultdict(Timings)
    for number in range(rounds):
        order = list(turns) if number % 2 == 0 else list(reversed(turns))
        for name in order:
            prefill_s, step_s = turns[name](prompt, tokens)
            timings[name].prefill_s.append(prefill_s)
            timings[name].step_s.extend(step_s)
        sys.stderr.write(f"round {number + 1} of {rounds}\n")
    return {name: timings[name] for name in turns}


def _print(timings: dict[str, Timings], sizes: dict[str, int], prompt_tokens: int) -> None:
    """Tokens/s and ratios. Load from outside only ever adds time: the fastest tenth is printed beside the median."""
    decode = {name: 1 / statistics.median(times.step_s) for name, times in timings.items()}
    calm = {name: 1 / sorted(times.step_s)[len(times.step_s) // 10] for name, times in timings.items()}
    prefill = {name: prompt_tokens / statistics.median(times.prefill_s) for name, times in timings.items()}
    best = {name: prompt_tokens / min(times.prefill_s) for name, times in timings.items()}
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, prompt of {prompt_tokens} tokens, tokens/s")
    print(f"{'':<26}{'decode':>8}{'best 10%':>10}{'×':>6}{'×best':>7}", end="")
    print(f"{'prefill':>10}{'best':>8}{'×':>6}{'×best':>7}{'MB':>7}")
    for name in timings:
        size = f"{sizes[name] / 1e6:>7.0f}" if name in sizes else ""
        print(
            f"{name:<26}{decode[name]:>8.1f}{calm[name]:>10.1f}{decode[name] / decode[_THEIRS]:>6.2f}"
            f"{calm[name] / calm[_THEIRS]:>7.2f}{prefill[name]:>10.0f}{best[name]:>8.0f}"
            f"{prefill[name] / prefill[_THEIRS]:>6.2f}{best[name] / best[_THEIRS]:>7.2f}{size}"
        )
    for (kind, rival), whose in itertools.product(_RIVALS.items(), ("native", "torch")):
        ours = _name(kind, whose)
        if ours in timings and rival in timings:
            print(
                f"{ours} / {rival}: decode {decode[ours] / decode[rival]:.2f} (best {calm[ours] / calm[rival]:.2f}), "
                f"prefill {prefill[ours] / prefill[rival]:.2f} (best {best[ours] / best[rival]:.2f})"
            )


if __name__ == "__main__":
    main()
