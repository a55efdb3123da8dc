"""What answers: the bundled generator, a language model of the settings, both together, and how sure each is."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from app.generation.breaker import CircuitBreaker
from app.generation.bundled import Judge, copying_generator, judge_of
from app.generation.chat import ChatModel
from app.generation.prompted import PromptedGenerator
from app.generation.reader import bilingual_folder, bundled_folder
from app.generation.remote import RemoteChat, RemoteLimits
from app.generation.rescue import RescuedGenerator
from app.generation.sentences import bundled_confidence_file
from app.generation.styles.styled import StyledGenerator
from app.generation.writer import bundled_writer
from app.protocols import Encoder, Generator
from app.settings import RemoteSettings, Settings


def chat_model(settings: Settings, model: str | None = None) -> ChatModel | None:
    """The language model that `ATTEST_GENERATION__MODEL`, or `model`, names; None for the bundled reader.

    Raises:
        Unavailable: its weights are missing or can not be run; the message says which part.
    """
    kind, _, name = (model or settings.generation.model).partition(":")
    if kind == "bundled":
        return None
    return _remote(settings.generation.remote, name) if kind == "remote" else _local(settings, name)


def build_generator(
    settings: Settings, chat: ChatModel | None, bundled: Callable[[], Generator] | None = None
) -> Generator:
    """The generator over the language model, rescued by the bundled one where the settings say so; or that one alone.

    Args:
        settings: `generation`.
        chat: the language model.
        bundled: makes the bundled one, or hands over the one that is there; None makes a new one.

    Raises:
        Unavailable: the bundled weights are missing.
    """
    make = bundled or (lambda: bundled_generator(settings))
    if chat is None:
        return make()
    written = PromptedGenerator(chat)
    return RescuedGenerator(written, make()) if settings.generation.on_failure == "bundled" else written


def build_models(
    settings: Settings, generator: Generator, bundled: Callable[[], Generator] | None
) -> dict[str, Generator]:
    """The generators that a request may name: the configured one, the settings' further ones, and the bundled one.

    Args:
        settings: `generation`.
        generator: the configured one.
        bundled: the one that rescues it where it is a language model; None where it is the bundled one itself.

    Raises:
        Unavailable: a further model can't be loaded.
    """
    models: dict[str, Generator] = {}
    for name in settings.generation.models:
        chat = chat_model(settings, name)
        models[name] = build_generator(settings, chat, bundled)
    if bundled is not None and settings.generation.on_failure == "bundled":
        models["bundled"] = bundled()
    models[settings.generation.model] = generator
    for name in list(models):
        models.setdefault(name.partition(":")[2] or name, models[name])
    return models


def bundled_generator(settings: Settings, encoder: Encoder | None = None) -> Generator:
    """The bundled generator with its styles of answer; without the encoder they choose sentences by words alone."""
    chosen = settings.generation
    copying = copying_generator(chosen.generator, chosen.reader, verify=chosen.verify)
    return StyledGenerator(copying, build_judge(settings), encoder=encoder, writer=bundled_writer())


def build_judge(settings: Settings) -> Judge:
    """How sure each generator's answers are, by the calibrations that are shipped with them."""
    chosen = settings.generation
    reads = chosen.generator == "reader" and (
        "bundled" in (chosen.model, *chosen.models) or chosen.on_failure == "bundled"
    )
    return judge_of(reads=reads, reader=chosen.reader, abstain_below=chosen.abstain_below)


def calibration_id(settings: Settings) -> str:
    """What tells the shipped calibrations in use from others: a collection's own corrects these and no others."""
    chosen = settings.generation
    folders = (chosen.reader or bundled_folder(), bilingual_folder())
    files = [*(folder / "calibration.json" for folder in folders), bundled_confidence_file()]
    digest = hashlib.sha256(f"{chosen.generator} {chosen.verify}".encode())
    for file in files:
        digest.update(file.read_bytes() if file.is_file() else b"none")
    return digest.hexdigest()[:16]


def _remote(server: RemoteSettings, model: str) -> ChatModel:
    assert server.base_url is not None  # the settings' own check
    return RemoteChat(
        model,
        server.base_url,
        api_key=server.api_key.get_secret_value() if server.api_key else None,
        limits=RemoteLimits(server.connect_s, server.first_token_s, server.total_s, server.attempts),
        breaker=CircuitBreaker(server.breaker_failures, server.breaker_open_s),
        logprobs=server.logprobs,
    )


def _local(settings: Settings, name: str) -> ChatModel:
    from app.generation.local import LocalChat, load_language_model, start_engine  # the transformer core: only if used
    from app.generation.model_place import find_model

    here = settings.generation.local
    folder = find_model(name, settings.home / "models", download=here.download, revision=here.revision)
    model = load_language_model(folder, dtype=here.dtype, native_kernels=here.native_kernels)
    engine = start_engine(
        model,
        context_tokens=here.context_tokens,
        cache_bytes=here.cache_bytes,
        max_batch=here.max_batch,
        passage_reuse=here.passage_reuse,
        passage_bytes=here.passage_bytes,
        threads=settings.generation.threads,
    )
    return LocalChat(model, engine)
