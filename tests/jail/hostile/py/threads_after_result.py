# expect[ok protocol]: threads that go on when the result is out
import os
import threading


def run(x):
    def spin():
        while True:
            os.write(3, b"\x00\x00\x00\x02{}")

    for _ in range(5):
        threading.Timer(0.001, spin).start()
    return 1
