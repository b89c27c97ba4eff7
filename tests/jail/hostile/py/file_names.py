# expect[ok_denied]: names with line breaks, escapes and no meaning, and attributes that hold more than the file
import os


def run(x):
    names = ["\n[E] nsjail: escaped\n", "\x1b]0;owned\x07", "-rf", "con\u202etxt", "a" * 255, "\udcff\udcfe"]
    for name in names:
        open(f"/tmp/{name}", "w").close()
    try:
        os.setxattr("/tmp/-rf", "user.x", b"x" * 65536)
    except OSError as error:
        return {"denied": True, "said": error.errno, "names": sorted(map(ascii, os.listdir("/tmp")))}
    raise AssertionError("KEPT")
