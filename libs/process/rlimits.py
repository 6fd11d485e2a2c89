"""Resource limits of the process."""

import resource

# More than the settings can require; used instead of an unlimited hard limit.
DESCRIPTORS_MAX = 65536


def raise_descriptor_limit() -> int:
    """Raises the soft limit of open files: the usual 1024 are too few for the checks of one prober."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS_MAX if hard == resource.RLIM_INFINITY else min(DESCRIPTORS_MAX, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return soft
