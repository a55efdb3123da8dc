"""`attest doctor` on the native kernels: they are there, they are not wanted, or what would bring them."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.cli import doctor
from app.errors import Unavailable
from app.transformer.native import build


def test_where_they_are_built_their_place_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "why_not_here", lambda: None)
    monkeypatch.setattr(build, "built_library", lambda: Path("/somewhere/attest-native.so"))
    assert doctor._native_kernels("auto") == doctor.Finding("native kernels", "ok", "/somewhere/attest-native.so")


@pytest.mark.parametrize(("choice", "verdict"), [("auto", "note"), ("on", "problem")])
def test_without_a_compiler_the_remedy_is_to_install_one(
    monkeypatch: pytest.MonkeyPatch, choice: doctor.KernelChoice, verdict: str
) -> None:
    def refuse() -> Path:
        raise Unavailable("native kernels need a C++ compiler")

    monkeypatch.setattr(build, "why_not_here", lambda: None)
    monkeypatch.setattr(build, "built_library", refuse)
    found = doctor._native_kernels(choice)
    assert (found.verdict, found.remedy) == (verdict, "install a C++ compiler (Debian: apt-get install g++)")


@pytest.mark.parametrize(("choice", "verdict"), [("auto", "note"), ("on", "problem"), ("off", "ok")])
def test_on_another_processor_only_the_setting_can_change_something(
    monkeypatch: pytest.MonkeyPatch, choice: doctor.KernelChoice, verdict: str
) -> None:
    monkeypatch.setattr(build, "why_not_here", lambda: "this processor lacks avx512_vnni")
    found = doctor._native_kernels(choice)
    assert found.verdict == verdict
    assert ("avx512_vnni" in found.detail) == (choice != "off")
    assert ("NATIVE_KERNELS=off" in found.remedy) == (choice == "on")
