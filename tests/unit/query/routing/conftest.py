"""The bundled embedder, once: likeness that a hash can't imitate is what these tests are about."""

import pytest

from app.embedding.loading import load_encoder
from app.protocols import Encoder


@pytest.fixture(scope="session")
def encoder() -> Encoder:
    return load_encoder(None, revision=None, engine="auto", dtype="float32", batch_tokens=1_024, threads=1)
