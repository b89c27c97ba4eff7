# expect[ok_denied]: who is at the other end of descriptor 3: its credentials, a handle to its process
import socket


def run(x):
    channel, said = socket.socket(fileno=3), {}
    for name, option, size in (("SO_PEERCRED", 17, 12), ("SO_PEERPIDFD", 77, 4), ("SO_PEERGROUPS", 59, 64), ("SO_PEERSEC", 31, 64)):
        try:
            said[name] = channel.getsockopt(socket.SOL_SOCKET, option, size).hex()
        except OSError as error:
            said[name] = error.errno
    channel.detach()
    assert set(said.values()) == {1}, said
    return {"denied": True, "said": said}
