"""Compiles the kernels, once for a source, its flags and a compiler, into a folder that only this user can write to.

    python -m app.transformer.native.build FOLDER

builds them ahead of time, for an image without a compiler: with FOLDER `app/transformer/native/built` they are found
by themselves, on any machine whose processor has the instructions.
"""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from app.errors import Unavailable

_LOG = logging.getLogger(__name__)

SOURCE = Path(__file__).with_name("source")
SHIPPED = Path(__file__).with_name("built")
COMPILERS = ("c++", "g++", "clang++")
INSTALL = "install a C++ compiler (Debian: apt-get install g++)"
_NEEDED = ("avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni")  # as /proc/cpuinfo spells them
_BF16 = "avx512_bf16"
_MACHINES = ("x86_64", "AMD64")
_FLAGS = ("-O3", "-std=c++17", "-shared", "-fPIC", "-mfma")
_BUILD_S = 600  # seconds; a calm machine needs ten
_SAFE_MODE = 0o700


def processor_flags() -> frozenset[str]:
    """Return the instructions that this Linux machine's processor has, as its kernel names them; empty elsewhere."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return frozenset()
    for line in text.splitlines():
        name, _, found = line.partition(":")
        if name.strip() == "flags":
            return frozenset(found.split())
    return frozenset()


def why_not_here() -> str | None:
    """Return why this machine can not run the kernels whatever is installed on it, or `None` if it can."""
    if sys.platform != "linux" or platform.machine() not in _MACHINES:
        return f"they are written for Linux on x86-64, this is {sys.platform} on {platform.machine()}"
    missing = sorted(set(_NEEDED) - processor_flags())
    return f"this processor lacks {', '.join(missing)}" if missing else None


def built_library() -> Path:
    """Return the compiled library for this machine, building it where it is not there yet.

    Raises:
        Unavailable: the processor or a compiler is missing, the cache folder is not safe, or the build failed; the
            message says which, and what to do.
    """
    if reason := why_not_here():
        raise Unavailable(f"native kernels can not run: {reason}")
    bf16 = _BF16 in processor_flags()
    shipped = SHIPPED / _name(bf16, "")
    if shipped.is_file():
        return shipped
    compiler = find_compiler()
    if compiler is None:
        raise Unavailable(f"native kernels need a C++ compiler, and none of {', '.join(COMPILERS)} is there: {INSTALL}")
    folder = cache_folder()
    built = folder / _name(bf16, _version(compiler))
    if not built.exists():
        started = time.monotonic()
        compile_library(compiler, built, bf16=bf16)
        _LOG.info("native kernels compiled in %.0f s: %s", time.monotonic() - started, built)
    _check_owned(built, stat.S_ISREG, "delete it")
    return built


def find_compiler() -> str | None:
    """Return the compiler to use: that of the environment's CXX, else the first of `COMPILERS` on the path."""
    for name in (os.environ.get("CXX", ""), *COMPILERS):
        if name and (found := shutil.which(name)):
            return found
    return None


def cache_folder() -> Path:
    """Return the folder of compiled libraries, made if need be.

    Raises:
        Unavailable: it can not be made, or another user could have written into it.
    """
    base = os.environ.get("XDG_CACHE_HOME", "")
    folder = (Path(base) if base else Path.home() / ".cache") / "attest" / "native"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=_SAFE_MODE, exist_ok=True)
    except OSError as error:
        raise Unavailable(
            f"native kernels need a folder to be compiled into, and {folder} can not be made ({error.strerror}): set "
            "XDG_CACHE_HOME to a folder that this user can write to"
        ) from error
    _check_owned(folder, stat.S_ISDIR, f"chmod 700 {folder}, or delete it")
    return folder


def compile_library(compiler: str, target: Path, *, bf16: bool) -> None:
    """Compile the source to `target`, which is complete as soon as it exists.

    Raises:
        Unavailable: the compiler failed, or could not be started; the message has its first error.
    """
    handle, name = tempfile.mkstemp(dir=target.parent, prefix="building-", suffix=".so")
    os.close(handle)
    command = [compiler, *flags(bf16=bf16), str(SOURCE / "attest_native.cpp"), "-o", name]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_BUILD_S, check=False)
        if done.returncode:
            said = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr[:300])
            raise Unavailable(
                f"native kernels could not be compiled by {compiler}: {said.strip()[:300]}; it takes g++ 10 or "
                "clang++ 11 or newer (CXX names another)"
            )
        Path(name).chmod(0o700)
        Path(name).replace(target)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"native kernels could not be compiled by {compiler}: {error}; {INSTALL}") from error
    finally:
        Path(name).unlink(missing_ok=True)


def flags(*, bf16: bool) -> list[str]:
    """Return the compiler's options. Instructions are named, not taken from the machine: its result runs elsewhere."""
    wanted = [*_NEEDED, _BF16] if bf16 else list(_NEEDED)
    return [*_FLAGS, *(f"-m{name.replace('_', '')}" for name in wanted)]


def _name(bf16: bool, compiler_version: str) -> str:
    digest = hashlib.sha256()
    for path in sorted(SOURCE.iterdir()):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    digest.update("\0".join([*flags(bf16=bf16), compiler_version]).encode())
    return f"attest-native-{digest.hexdigest()[:24]}.so"


def _version(compiler: str) -> str:
    try:
        said = subprocess.run([compiler, "--version"], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"native kernels: {compiler} could not be started ({error}); {INSTALL}") from error
    return said.stdout


def _check_owned(path: Path, is_kind: object, remedy: str) -> None:
    """A library is code: nothing is loaded that somebody else could have put there."""
    found = path.lstat()
    kind_fits = is_kind(found.st_mode) if callable(is_kind) else False
    if not kind_fits or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise Unavailable(
            f"native kernels are not loaded from {path}: it must belong to this user and be writable by nobody else; "
            f"{remedy}"
        )


def main(arguments: Sequence[str]) -> None:
    """Build every variant into the folder named on the command line."""
    if len(arguments) != 1:
        raise SystemExit("python -m app.transformer.native.build FOLDER")
    if platform.machine() not in _MACHINES:
        sys.stderr.write(f"native kernels are not built on {platform.machine()}: they are written for x86-64\n")
        return
    compiler = find_compiler()
    if compiler is None:
        raise SystemExit(f"there is no C++ compiler: {INSTALL}")
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    for bf16 in (False, True):
        target = folder / _name(bf16, "")
        compile_library(compiler, target, bf16=bf16)
        target.chmod(0o755)


if __name__ == "__main__":
    main(sys.argv[1:])
