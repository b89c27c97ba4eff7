# expect[user_error ok]: throw exceptions into every thread, its own first
import ctypes
import threading


def run(x):
    for thread in threading.enumerate():
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(KeyboardInterrupt))
    return sum(range(100_000))
