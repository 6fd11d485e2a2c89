"""What the processes cost: processor time and memory of whole process trees."""

import os

import psutil

# Adding up shared pages stops the processes for a moment: rarely enough to leave their lateness alone.
PEAK_EVERY_S = 15.0


def cpu_s(roots: list[int]) -> float:
    """Returns the processor time of the trees so far, with that of children that ended."""
    return sum(_cpu_s(process) for root in roots for process in _tree(root))


def memory_bytes(roots: list[int]) -> int:
    """Returns the memory of the trees: what is shared, as PostgreSQL's buffers are, counts once (PSS)."""
    return sum(_pss(process) for root in roots for process in _tree(root))


def _pss(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    ended = 0.0 if process.pid == os.getpid() else times.children_user + times.children_system
    return float(times.user + times.system + ended)


def _tree(root: int) -> list[psutil.Process]:
    """Returns the process with all below it; of the bench itself, which started all others, nothing but itself."""
    process = psutil.Process(root)
    return [process] if root == os.getpid() else [process, *process.children(recursive=True)]
