"""When a streamed answer may be shown: from the moment that nothing can turn it into a refusal any more."""

from __future__ import annotations

from collections.abc import Callable

from app.types import Generated


class ReleaseGate:
    """Implements `OnText`: holds pieces back until the answer so far stands, then lets everything through.

    Args:
        stands: whether an answer with this evidence would be given, not withheld.
        show: takes the text that may be seen; what it gets joins to the answer exactly.
    """

    def __init__(self, stands: Callable[[Generated], bool], show: Callable[[str], None]) -> None:
        self._stands = stands
        self._show = show
        self._held = ""
        self.opened = False

    def __call__(self, piece: str, so_far: Generated) -> bool:
        """Whether any of the answer has been shown."""
        if not self.opened and not self._stands(so_far):
            self._held += piece
            return False
        self.opened = True
        self._show(self._held + piece)
        self._held = ""
        return True
