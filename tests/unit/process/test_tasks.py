import asyncio
from typing import NoReturn

from libs.process.tasks import cancel_and_wait


async def wait_for_repeatedly(answer: asyncio.Future[None]) -> NoReturn:
    while True:
        await asyncio.wait_for(answer, 10)
        answer = asyncio.get_running_loop().create_future()


async def test_a_task_ends_even_if_its_cancellation_coincides_with_a_result() -> None:
    answer = asyncio.get_running_loop().create_future()
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        task = group.create_task(wait_for_repeatedly(answer))
        await asyncio.sleep(0)
        answer.set_result(None)
        await asyncio.sleep(0)  # the answer is on its way to the task
        await cancel_and_wait([task])
    assert task.cancelled()


async def test_tasks_that_have_ended_are_ignored() -> None:
    async with asyncio.TaskGroup() as group:
        done = group.create_task(asyncio.sleep(0))
        await asyncio.sleep(0.01)
        await cancel_and_wait([done])
        await cancel_and_wait([])
    assert not done.cancelled()
