"""Concurrency limits with a share for each tenant."""

import contextlib
from collections import Counter
from collections.abc import Iterator

from litestar.exceptions import HTTPException


class ConcurrencyLimit:
    """At most `slots_max` `things` at once, and `tenant_max` for one tenant; beyond that, `status_code`."""

    def __init__(self, things: str, slots_max: int, tenant_max: int, *, status_code: int) -> None:
        self._subject, self._slots_max, self._tenant_max, self._status_code = things, slots_max, tenant_max, status_code
        self._active: Counter[str] = Counter()

    @property
    def active(self) -> int:
        return self._active.total()

    @contextlib.contextmanager
    def acquire(self, whose: str) -> Iterator[None]:
        """Holds a slot for the tenant `whose` while the context is open; raises HTTPException if there is none."""
        if self.active >= self._slots_max:
            raise HTTPException(
                detail=f"Limit reached: {self._slots_max} {self._subject}.", status_code=self._status_code
            )
        if self._active[whose] >= self._tenant_max:
            detail = f"Limit reached: {self._tenant_max} {self._subject} for this tenant."
            raise HTTPException(detail=detail, status_code=self._status_code)
        self._active[whose] += 1
        try:
            yield
        finally:
            self._active[whose] -= 1
            if not self._active[whose]:
                del self._active[whose]
