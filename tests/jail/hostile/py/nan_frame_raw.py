# expect[protocol]: a frame with NaN and Infinity
import os
import time


def run(x):
    b = b'{"result":{"value":[NaN,Infinity,-Infinity]}}'
    os.write(3, len(b).to_bytes(4, "big") + b)
    time.sleep(60)
