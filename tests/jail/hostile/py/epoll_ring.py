# expect[ok ok_denied timeout user_error]: watchers that watch watchers, as deep and as many as go, all woken at once
import os
import select


def run(x):
    watchers, told = [], 0
    r, w = os.pipe()
    try:
        while True:
            each = select.epoll()
            each.register(r, select.EPOLLIN | select.EPOLLET)
            for other in watchers:
                try:
                    each.register(other.fileno(), select.EPOLLIN)
                except OSError:
                    break
            watchers.append(each)
    except OSError:
        pass
    for _ in range(20_000):
        os.write(w, b"a")
        told += len(watchers[-1].poll(0))
        os.read(r, 1)
    return {"denied": True, "watchers": len(watchers), "told": told}
