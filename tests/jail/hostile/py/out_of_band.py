# expect[ok_denied]: a byte beside the stream: MSG_OOB, where kernels have had holes and readers may spin
import socket


def run(x):
    channel, said = socket.socket(fileno=3), []
    for attempt in (lambda: channel.send(b"!", socket.MSG_OOB), lambda: channel.recv(1, socket.MSG_OOB | socket.MSG_DONTWAIT)):
        try:
            said.append(attempt())
        except OSError as error:
            said.append(error.errno)
    channel.detach()
    assert set(said) == {1}, said
    return {"denied": True, "said": said}
