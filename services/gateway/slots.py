"""Room for a bounded number of things at once, of which no tenant can take all."""

import contextlib
from collections import Counter
from collections.abc import Iterator

from litestar.exceptions import HTTPException


class Slots:
    """At most `slots_max` `things` at once, and at most `tenant_max` of one tenant; beyond that, `status_code`."""

    def __init__(self, things: str, slots_max: int, tenant_max: int, *, status_code: int) -> None:
        self._things, self._max, self._tenant_max, self._status_code = things, slots_max, tenant_max, status_code
        self._taken: Counter[str] = Counter()

    @property
    def taken(self) -> int:
        return self._taken.total()

    @contextlib.contextmanager
    def one_more(self, whose: str) -> Iterator[None]:
        """Takes a slot for the tenant `whose` as long as the context is open, or raises the error that says why not."""
        if self.taken >= self._max:
            raise HTTPException(detail=f"{self._max} {self._things} already.", status_code=self._status_code)
        if self._taken[whose] >= self._tenant_max:
            detail = f"{self._tenant_max} {self._things} for this tenant already."
            raise HTTPException(detail=detail, status_code=self._status_code)
        self._taken[whose] += 1
        try:
            yield
        finally:
            self._taken[whose] -= 1
            if not self._taken[whose]:
                del self._taken[whose]
