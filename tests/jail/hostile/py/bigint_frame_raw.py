# expect[protocol]: 5000-digit int refused
import os
import time


def run(x):
    b = b'{"result":{"value":' + b"9" * 5000 + b"}}"
    os.write(3, len(b).to_bytes(4, "big") + b)
    time.sleep(60)
