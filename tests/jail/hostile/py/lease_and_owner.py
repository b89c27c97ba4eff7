# expect[ok_denied]: fcntl beyond locks: leases on shared files, signals to others, larger pipes
import fcntl
import sys


def run(x):
    said = {}
    with open(sys.executable or "/etc/passwd", "rb") as shared:
        for name, number, argument in (
            ("F_SETLEASE", 1024, fcntl.F_RDLCK),
            ("F_GETLEASE", 1025, 0),
            ("F_SETOWN", 8, 1),
            ("F_SETSIG", 10, 9),
            ("F_SETOWN_EX", 15, bytes(8)),
            ("F_SET_RW_HINT", 1036, bytes(8)),
        ):
            try:
                said[name] = fcntl.fcntl(shared, number, argument)
            except OSError as error:
                said[name] = error.errno
        try:
            said["F_SETPIPE_SZ"] = fcntl.fcntl(1, 1031, 1 << 20)
        except OSError as error:
            said["F_SETPIPE_SZ"] = error.errno
    assert set(said.values()) == {1}, said
    return {"denied": True, "said": said}
