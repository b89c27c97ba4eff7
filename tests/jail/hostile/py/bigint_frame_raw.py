# expect[protocol]: a frame with an integer of 5000 digits, which is quadratic to read
import os
import time


def run(x):
    b = b'{"result":{"value":' + b"9" * 5000 + b"}}"
    os.write(3, len(b).to_bytes(4, "big") + b)
    time.sleep(60)
