# expect[ok_denied]: loosen the filter or listen to it: prctl, seccomp, landlock
import ctypes
import errno

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


def call(number, *arguments):
    """What a system call says: its errno by name, or the value that it gave."""
    ctypes.set_errno(0)
    value = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(a) if isinstance(a, int) else a for a in arguments])
    return errno.errorcode.get(ctypes.get_errno(), "?") if value == -1 else value


PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, PR_SET_DUMPABLE, PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 22, 38, 4, 1, 36
PR_SET_MM, PR_SET_PTRACER, PR_CAP_AMBIENT, PR_SCHED_CORE, PR_SET_MDWE = 35, 0x59616D61, 47, 62, 65


def run(x):
    options = (PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, PR_SET_DUMPABLE, PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER)
    options += (PR_SET_MM, PR_SET_PTRACER, PR_CAP_AMBIENT, PR_SCHED_CORE, PR_SET_MDWE)
    said = [call(157, option, 1, 0, 0, 0) for option in options]
    said += [call(317, operation, 8, 0) for operation in range(5)]
    said += [call(444, 0, 0, 1), call(445, 3, 1, 0, 0), call(446, 3, 0)]
    assert set(said) == {"EPERM"}, said
    return {"denied": True, "tried": len(said)}
