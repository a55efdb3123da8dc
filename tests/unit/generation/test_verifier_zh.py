"""The verifier of the bilingual reader: which reader it stands on, its checksums, and near misses in both scripts."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from app.errors import IntegrityError
from app.generation import verifier as verifying
from app.generation.abstention import abstention_threshold, calibrated_confidence, load_calibration
from app.generation.reader import Reader, bilingual_folder, bundled_folder, has_bilingual, load_reader
from app.generation.verifier import verifier_folders, verifier_for
from app.transformer.checkpoints import WEIGHTS_NAME, sha256_of
from app.transformer.pointer_checkpoints import TOKENIZER_NAME
from app.transformer.tokenizers import TextTokenizer
from app.transformer.verifier_checkpoints import read_verifier_manifest
from app.types import Generated, GenerationOptions
from tests.unit.generation.test_reader import prompt

pytestmark = pytest.mark.skipif(not has_bilingual(), reason="the bilingual weights are not part of this installation")
FIRM = "澄海仪表的总经理是韩子衿，公司位于泉州，有员工310人。2019年公司的营业收入为3.2亿元。"
BAKERY = "榆林街的面包房卖黑麦面包，店主是田一凡。"
OPTIONS = GenerationOptions()


@pytest.fixture(scope="module")
def reader() -> Reader:
    return load_reader(bilingual_folder(), dtype=torch.float32)


@pytest.fixture
def copied_verifier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the bilingual reader's verifier, in the place of all bundled ones."""
    folder = tmp_path / "verifier_zh"
    shutil.copytree(verifier_folders()[1], folder)
    monkeypatch.setattr(verifying, "verifier_folders", lambda: (tmp_path / "none", folder))
    return folder


def verified(generated: Generated) -> float:
    assert generated.evidence.verification is not None
    return generated.evidence.verification


def test_each_verifier_stands_on_its_own_reader() -> None:
    english, bilingual = verifier_folders()
    assert read_verifier_manifest(bilingual).reader_sha256 == sha256_of(bilingual_folder() / WEIGHTS_NAME)
    assert read_verifier_manifest(english).reader_sha256 != read_verifier_manifest(bilingual).reader_sha256
    config = read_verifier_manifest(bilingual).config
    assert (config.shared_layers, config.show_matches) == (3, True)
    assert bilingual.joinpath(WEIGHTS_NAME).stat().st_size < 12_000_000
    assert bilingual.joinpath("README.md").is_file()


def test_what_it_shares_with_the_reader_is_the_readers_own(reader: Reader) -> None:
    encoder = reader.pointer.encoder
    tokenizer = TextTokenizer(bilingual_folder() / TOKENIZER_NAME)
    sha256 = sha256_of(bilingual_folder() / WEIGHTS_NAME)
    found = verifier_for(sha256, encoder, tokenizer, torch.float32, remedy="reinstall")
    assert found is not None
    assert found.name == "attest-verifier-zh-3"
    own = found._model.encoder
    assert own.embeddings is encoder.embeddings
    assert [own.blocks[layer] is encoder.blocks[layer] for layer in range(6)] == [True] * 3 + [False] * 3
    assert verifier_for("0" * 64, encoder, tokenizer, torch.float32, remedy="reinstall") is None


def test_another_reader_is_not_verified_by_it(copied_verifier: Path) -> None:
    english = load_reader(bundled_folder(), dtype=torch.float32)
    generated = english.generate(prompt("Who owns the bakery?", "Tomas Reyes owns the bakery."), OPTIONS)
    assert generated.evidence.verification is None


def test_changed_weights_are_refused(copied_verifier: Path) -> None:
    weights = copied_verifier / WEIGHTS_NAME
    held = bytearray(weights.read_bytes())
    held[-1] ^= 1
    weights.write_bytes(held)
    with pytest.raises(IntegrityError, match=r"verifier_zh/model\.safetensors.*pip install --force-reinstall"):
        load_reader(bilingual_folder(), dtype=torch.float32)
    assert load_reader(bilingual_folder(), dtype=torch.float32, verify=False).name


def test_another_relation_or_group_of_people_is_trusted_less(reader: Reader) -> None:
    calibration = load_calibration(bilingual_folder() / "calibration.json")
    for right, near, declined in (
        ("澄海仪表的总经理是谁？", "谁收购了澄海仪表？", False),
        ("澄海儀表的總經理是誰？", "澄海儀表的創始人是誰？", False),
        ("澄海仪表2019年的营业收入是多少？", "澄海仪表2019年的净利润是多少？", False),
        ("澄海仪表有多少名员工？", "澄海仪表有多少家门店？", True),
        ("面包房的店主是谁？", "面包房的会计是谁？", True),
    ):
        answered, tempting = (reader.generate(prompt(question, FIRM, BAKERY), OPTIONS) for question in (right, near))
        assert verified(answered) > 1.0
        assert verified(answered) > verified(tempting) + 1.5, (right, near)
        sure, doubtful = (calibrated_confidence(one.evidence, calibration) for one in (answered, tempting))
        assert sure > doubtful + 0.1
        assert sure > abstention_threshold(calibration)
        assert (doubtful < abstention_threshold(calibration)) >= declined
        assert answered.detail["verify_ms"] > 0.0


def test_both_scripts_are_judged_alike(reader: Reader) -> None:
    simplified = reader.generate(prompt("澄海仪表的总经理是谁？", FIRM), OPTIONS)
    traditional = reader.generate(prompt("澄海儀表的總經理是誰？", FIRM), OPTIONS)
    assert verified(simplified) == pytest.approx(verified(traditional), abs=1e-3)


def test_it_can_be_switched_off() -> None:
    plain = load_reader(bilingual_folder(), dtype=torch.float32, verify=False)
    generated = plain.generate(prompt("面包房的店主是谁？", BAKERY), OPTIONS)
    assert generated.evidence.verification is None
    assert generated.detail == {}


def test_all_bundled_models_together_stay_under_120_mb() -> None:
    files = [path for path in bundled_folder().parent.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert sum(path.stat().st_size for path in files) < 120_000_000
