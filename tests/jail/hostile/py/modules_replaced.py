# expect[timeout]: other modules under the names that the boot code imports
import builtins
import sys


def run(x):
    import os

    os.write = lambda *_: 1 << 40
    builtins.len = lambda _: -1
    sys.modules.clear()
    return 1
