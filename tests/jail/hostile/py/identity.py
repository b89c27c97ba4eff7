# expect[ok]: who and where it is: the name of the host, its users, its environment
import os
import platform
import socket


def run(x):
    seen = [socket.gethostname(), os.getuid(), os.getgid(), os.getgroups(), os.getpid(), os.getppid(), sorted(os.environ)]
    assert seen[0] == "jail" and seen[1:3] == [65534, 65534] and seen[4] < 10 and seen[6] == ["LANG"], seen
    assert set(seen[3]) <= {65534}, seen
    assert not os.path.exists("/etc/hostname") and platform.node() == "jail"
    return seen
