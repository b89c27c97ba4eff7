# expect[ok_denied]: use descriptor 0 to touch or lock a file that the host shares with everybody
import fcntl
import os
import stat


def run(x):
    said = {"device": stat.S_ISCHR(os.fstat(0).st_mode)}
    for name, attempt in (
        ("touch", lambda: os.utime(0)),
        ("climb", lambda: os.open("..", os.O_RDONLY, dir_fd=0)),
        ("truncate", lambda: os.ftruncate(0, 0)),
        ("mode", lambda: os.fchmod(0, 0o777)),
    ):
        try:
            attempt()
            said[name] = "OK"
        except OSError as error:
            said[name] = error.errno
    assert not said["device"], said
    said.pop("touch")  # of a pipe of its own, which it may own
    assert "OK" not in said.values(), said
    return {"denied": True, "said": said}
