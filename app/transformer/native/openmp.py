"""The OpenMP runtime that PyTorch's own threads come from: our kernels run on the same, never on a second pool.

Two pools on the same cores are worse than one: the threads of either spin for a while after their work, waiting for
more, and take the other's time.
"""

from __future__ import annotations

import ctypes
from pathlib import Path

import torch

from app.errors import Unavailable

_NAMES = ("libgomp", "libiomp5", "libomp")
_ENTRIES = ("GOMP_parallel", "omp_get_thread_num", "omp_get_num_threads")


def openmp_entries() -> tuple[int, int, int]:
    """Return the addresses of `GOMP_parallel`, `omp_get_thread_num` and `omp_get_num_threads` in PyTorch's runtime.

    Raises:
        Unavailable: PyTorch runs its threads with something else, or it can't be told with which of several.
    """
    path = _runtime()
    library = ctypes.CDLL(str(path))  # mapped already: this only counts one more user of it
    addresses = []
    for name in _ENTRIES:
        entry = getattr(library, name, None)
        address = None if entry is None else ctypes.cast(entry, ctypes.c_void_p).value
        if address is None:
            raise Unavailable(f"native kernels: PyTorch's OpenMP runtime {path} has no {name}: use PyTorch from PyPI")
        addresses.append(address)
    return addresses[0], addresses[1], addresses[2]


def _runtime() -> Path:
    if "OpenMP" not in torch.__config__.parallel_info():
        raise Unavailable("native kernels: this PyTorch does not run its threads with OpenMP: use PyTorch from PyPI")
    maps = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines()
    mapped = {Path(line.split(maxsplit=5)[5]) for line in maps if line.count("/")}
    found = sorted(path for path in mapped if path.name.startswith(_NAMES))
    package = Path(torch.__file__).resolve().parent
    own = [path for path in found if package / "lib" in path.parents or package.parent / "torch.libs" in path.parents]
    chosen = own or found
    if len(chosen) != 1:
        names = ", ".join(map(str, chosen)) or "none"
        raise Unavailable(f"native kernels: it is not clear which OpenMP runtime PyTorch uses (loaded: {names})")
    return chosen[0]
