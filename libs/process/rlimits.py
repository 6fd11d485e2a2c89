"""What the system lets this process have open."""

import resource

# More than any setting of ours can use; an unlimited hard limit would make the kernel's tables a matter of luck.
DESCRIPTORS_MAX = 65536


def raise_descriptor_limit() -> int:
    """Raises the limit of open descriptors as far as allowed: the usual 1024 are fewer than one prober's checks."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS_MAX if hard == resource.RLIM_INFINITY else min(DESCRIPTORS_MAX, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return soft
