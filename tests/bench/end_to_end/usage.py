"""What the processes cost: processor time and memory of whole process trees."""

import psutil

PEAK_EVERY_S = 2.0


def cpu_s(roots: list[int]) -> float:
    """Returns the processor time of the trees so far, with that of children that ended."""
    times = [process.cpu_times() for root in roots for process in _tree(root)]
    return sum(time.user + time.system + time.children_user + time.children_system for time in times)


def memory_bytes(roots: list[int]) -> int:
    """Returns the memory of the trees: what is shared, as PostgreSQL's buffers are, counts once (PSS)."""
    return sum(_pss(process) for root in roots for process in _tree(root))


def _pss(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0


def _tree(root: int) -> list[psutil.Process]:
    process = psutil.Process(root)
    return [process, *process.children(recursive=True)]
