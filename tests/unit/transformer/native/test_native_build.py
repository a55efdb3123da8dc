"""Building and choosing the kernels: what is missing is said, what another user could have written is not loaded."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
import torch

from app.errors import Unavailable
from app.transformer.native import build, library
from app.transformer.native.build import built_library, cache_folder, compile_library, find_compiler, why_not_here
from app.transformer.native.library import choose_kernels, load_kernels
from app.transformer.native.openmp import openmp_entries
from tests.unit.transformer.native.decoders import needs_kernels

EVERYTHING = frozenset({"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni", "avx512_bf16"})


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("CXX", raising=False)


@pytest.fixture
def suits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that could run them, whichever this is."""
    monkeypatch.setattr(build.sys, "platform", "linux")
    monkeypatch.setattr(build.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(build, "processor_flags", lambda: EVERYTHING)


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forgets what this process found out before, now and afterwards."""
    monkeypatch.setattr(library, "_load", library._load.__wrapped__)


WRITES = 'for last; do :; done; [ "$1" = --version ] || echo built > "$last"'
"""A compiler that writes its output, and nothing when it is asked for its version."""


def a_compiler(folder: Path, script: str) -> Path:
    path = folder / "c++"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.mark.usefixtures("suits", "fresh")
def test_without_a_compiler_pytorchs_kernels_are_used_and_the_remedy_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_compiler() is None
    with pytest.raises(Unavailable, match=r"need a C\+\+ compiler.*apt-get install g\+\+"):
        load_kernels()
    with caplog.at_level(logging.INFO):
        assert choose_kernels("auto") is None
    assert "PyTorch's kernels are used" in caplog.text
    assert "apt-get install g++" in caplog.text
    with pytest.raises(Unavailable, match="install a"):
        choose_kernels("on")


@pytest.mark.usefixtures("fresh")
def test_off_looks_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "_load", lambda: pytest.fail("looked"))
    assert choose_kernels("off") is None


@pytest.mark.usefixtures("fresh")
def test_a_processor_that_lacks_an_instruction_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build.sys, "platform", "linux")
    monkeypatch.setattr(build.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(build, "processor_flags", lambda: EVERYTHING - {"avx512_vnni"})
    assert why_not_here() == "this processor lacks avx512_vnni"
    with pytest.raises(Unavailable, match="lacks avx512_vnni"):
        choose_kernels("on")
    monkeypatch.setattr(build.platform, "machine", lambda: "aarch64")
    assert "aarch64" in str(why_not_here())
    assert choose_kernels("auto") is None


@pytest.mark.usefixtures("suits")
def test_a_failing_compiler_is_quoted_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CXX", str(a_compiler(tmp_path, 'echo "x.cpp:1: error: no such thing" >&2; exit 1')))
    with pytest.raises(Unavailable, match="error: no such thing"):
        built_library()
    assert list(cache_folder().iterdir()) == []


@pytest.mark.usefixtures("suits")
def test_what_was_built_is_used_again_until_compiler_or_source_change(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    writes = 'for last; do :; done; [ "$1" = --version ] && echo "one 1.0" && exit 0; echo built >> "$last"'
    compiler = a_compiler(tmp_path, writes)
    monkeypatch.setenv("CXX", str(compiler))
    first = built_library()
    assert first.read_text() == "built\n"
    assert first.stat().st_mode & 0o777 == 0o700
    assert cache_folder().stat().st_mode & 0o777 == 0o700
    assert built_library() == first
    assert first.read_text() == "built\n"
    compiler.write_text(compiler.read_text().replace("1.0", "1.1"))
    second = built_library()
    assert second != first
    copied = tmp_path / "source"
    copied.mkdir()
    for path in build.SOURCE.iterdir():
        (copied / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(build, "SOURCE", copied)
    assert built_library() == second
    (copied / "simd.h").write_text("// changed")
    assert built_library() not in (first, second)


@pytest.mark.usefixtures("suits")
def test_what_another_user_could_have_written_is_not_loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CXX", str(a_compiler(tmp_path, WRITES)))
    path = built_library()
    path.chmod(0o722)
    with pytest.raises(Unavailable, match="writable by nobody else; delete it"):
        built_library()
    path.chmod(0o700)
    folder = cache_folder()
    folder.chmod(0o777)
    with pytest.raises(Unavailable, match="chmod 700"):
        built_library()
    folder.chmod(0o700)
    monkeypatch.setattr(build.os, "getuid", lambda: os.geteuid() + 1)
    with pytest.raises(Unavailable, match="belong to this user"):
        built_library()


@pytest.mark.usefixtures("suits")
def test_a_link_in_the_place_of_the_folder_or_the_library_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CXX", str(a_compiler(tmp_path, WRITES)))
    path = built_library()
    elsewhere = tmp_path / "elsewhere.so"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    with pytest.raises(Unavailable, match="delete it"):
        built_library()


@pytest.mark.usefixtures("suits")
def test_a_cache_that_can_not_be_written_to_names_the_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CXX", str(a_compiler(tmp_path, "exit 1")))
    (tmp_path / "cache").write_text("a file, not a folder")
    with pytest.raises(Unavailable, match="XDG_CACHE_HOME"):
        built_library()


@pytest.mark.usefixtures("suits")
def test_a_library_that_was_built_with_the_image_needs_no_compiler(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CXX", str(a_compiler(tmp_path, WRITES)))
    shipped = tmp_path / "shipped"
    build.main([str(shipped)])
    assert len(list(shipped.iterdir())) == 2  # with bfloat16 products and without
    monkeypatch.setattr(build, "SHIPPED", shipped)
    monkeypatch.delenv("CXX")
    monkeypatch.setenv("PATH", "")
    with_bf16 = built_library()
    monkeypatch.setattr(build, "processor_flags", lambda: EVERYTHING - {"avx512_bf16"})
    assert {with_bf16, built_library()} == set(shipped.iterdir())


@pytest.mark.usefixtures("suits", "fresh")
def test_a_library_that_does_not_load_is_no_crash(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CXX", str(a_compiler(tmp_path, WRITES)))
    with pytest.raises(Unavailable, match="could not be loaded"):
        load_kernels()
    assert choose_kernels("auto") is None


@needs_kernels
def test_the_real_compiler_says_what_is_wrong_with_a_source(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "attest_native.cpp").write_text("int f( { return 1; }")
    monkeypatch.setattr(build, "SOURCE", tmp_path)
    compiler = find_compiler()
    assert compiler is not None
    with pytest.raises(Unavailable, match="error"):
        compile_library(compiler, tmp_path / "made.so", bf16=False)
    assert {path.name for path in tmp_path.iterdir()} == {"attest_native.cpp"}


@needs_kernels
def test_the_threads_are_pytorchs_own() -> None:
    addresses = openmp_entries()
    assert len(set(addresses)) == 3
    maps = Path("/proc/self/maps").read_text().splitlines()
    (path,) = {
        line.split(maxsplit=5)[5]
        for line in maps
        if line.count("/")
        and (span := line.split()[0].split("-"))
        and int(span[0], 16) <= addresses[0] < int(span[1], 16)
    }
    assert Path(torch.__file__).parent in Path(path).parents or "torch" in path or "omp" in Path(path).name
