# expect[crash user_error]: write into a mapped file past what its file system may hold
import mmap
import os


def run(x):
    maps = []
    for number in range(4):
        with open(f"/tmp/{number}", "w+b") as file:
            os.truncate(file.fileno(), 15 << 20)
            maps.append(mmap.mmap(file.fileno(), 15 << 20))
    for page in maps:
        for at in range(0, 15 << 20, 4096):
            page[at] = 1
    raise AssertionError("60 MiB in a file system of 16")
