# expect[crash]: a stack as deep as memory
import sys


def run(x):
    sys.setrecursionlimit(2**31 - 1)

    def down(n):
        return list(map(down, (n,)))

    return down(0)
