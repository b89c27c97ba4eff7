# expect[ok user_error]: folders in folders as deep as inodes go, for whoever clears them away
import os


def run(x):
    folder, depth = os.open("/tmp", os.O_RDONLY), 0
    try:
        while True:
            os.mkdir("d" * 200, dir_fd=folder)
            inner = os.open("d" * 200, os.O_RDONLY, dir_fd=folder)
            os.close(folder)
            folder, depth = inner, depth + 1
    except OSError as error:
        assert depth < 1100, depth
        return [depth, error.errno]
