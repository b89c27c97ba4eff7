# expect[timeout]: trace the boot code and never let it go on
import sys
import threading


def run(x):
    def trace(*_):
        while True:
            pass

    sys.settrace(trace)
    sys.setprofile(trace)
    threading.settrace(trace)
    return 1
