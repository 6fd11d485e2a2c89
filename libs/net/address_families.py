"""Runs a probe over one address family, or over both concurrently."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from msgspec.structs import replace

from libs.model.fields.address_family import AddressFamily, combine_families
from libs.model.outcome import Outcome
from libs.model.spec import Spec

S = TypeVar("S", bound=Spec)


async def probe_families(spec: S, family: AddressFamily, run: Callable[[S], Coroutine[Any, Any, Outcome]]) -> Outcome:
    """Returns the outcome of `run`; with family "both", the merged outcome of one run per family.

    Both runs start at once, so each has the full timeout, and neither hides a failure of the other.
    """
    if family != "both":
        return await run(spec)
    async with asyncio.TaskGroup() as group:
        four = group.create_task(run(replace(spec, family="4")))
        six = group.create_task(run(replace(spec, family="6")))
    return combine_families(four.result(), six.result())
