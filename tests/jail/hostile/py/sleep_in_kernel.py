# expect[timeout user_error ok_denied]: wait where a signal does not reach: full pipes, locks of its own, a file that two threads truncate and map
import mmap
import os
import threading
import time


def fault(path):
    while True:
        try:
            with open(path, "r+b") as file, mmap.mmap(file.fileno(), 4096) as page:
                page[0] = 1
                page.flush()
        except (OSError, ValueError):
            pass


def run(x):
    path = "/tmp/f"
    with open(path, "wb") as file:
        file.write(b"\0" * 4096)
    for _ in range(6):
        threading.Thread(target=fault, args=(path,), daemon=True).start()
    r, w = os.pipe()
    for _ in range(6):
        threading.Thread(target=lambda: os.write(w, b"a" * (1 << 22)), daemon=True).start()
    with open(path, "r+b") as file:
        while True:
            os.fsync(file.fileno())
            file.truncate(8192)
            time.sleep(0)
