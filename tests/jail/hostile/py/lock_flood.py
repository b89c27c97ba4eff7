# expect[timeout user_error]: file locks beyond number, which the kernel keeps outside the memory limit
import fcntl
import struct


def run(x):
    files = [open(f"/tmp/{n}", "w") for n in range(40)]
    at = 0
    while True:
        at += 2
        for file in files:
            fcntl.fcntl(file, fcntl.F_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, at, 1, 0))
