"""Which slots a search may return."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]
Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class SlotMask:
    """`allowed[slot]`: True = may be returned; `[slot_end]`. `versions`: whose slots these are, ascending."""

    allowed: Bools
    versions: Int64
    count: int

    @property
    def share(self) -> float:
        """Allowed slots over all slots, in [0, 1]."""
        return self.count / len(self.allowed) if len(self.allowed) else 0.0
