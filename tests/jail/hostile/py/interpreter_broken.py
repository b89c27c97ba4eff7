# expect[crash]: overwrite None
import ctypes


def run(x):
    ctypes.memset(id(None), 0xFF, 64)
    return None
