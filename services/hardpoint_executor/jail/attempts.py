"""Owns which files that code looks for in vain are no attempt to get at something: usual libraries ask for them."""

from fnmatch import fnmatchcase

_USUAL = (
    "/dev/full",
    "/dev/null",
    "/dev/random",
    "/dev/shm",  # noqa: S108 - nothing is made there
    "/dev/tty",
    "/dev/urandom",
    "/dev/zero",
    "/etc",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/httpd/*",
    "/etc/apache*",
    "/etc/ld.so.*",
    "/etc/locale*",
    "/etc/localtime",
    "/etc/lsb-release",
    "/etc/mailcap",
    "/etc/mime.types",
    "/etc/nsswitch.conf",
    "/etc/os-release",
    "/etc/passwd",  # the jail's own, with one account
    "/etc/protocols",
    "/etc/resolv.conf",
    "/etc/services",
    "/etc/ssl/*",
    "/etc/timezone",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/self/cgroup",
    "/proc/self/maps",
    "/proc/self/stat",
    "/proc/self/status",
    "/proc/stat",
    "/proc/version",
    "/sys/devices/system/*",
    "/sys/fs/cgroup/*",
)


def is_usual(target: str) -> bool:
    """Whether a path is one that a library asks for that means nothing by it."""
    return any(fnmatchcase(target, pattern) for pattern in _USUAL)
