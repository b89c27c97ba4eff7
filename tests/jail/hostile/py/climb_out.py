# expect[ok_denied]: the host's files by every spelling of up
import os


def run(x):
    root = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    sdk = os.open("/sdk", os.O_RDONLY | os.O_DIRECTORY)
    wanted = "CANARY_FILE"
    said = []
    for path, start in (
        (wanted, None),
        ("../" * 40 + wanted.lstrip("/"), root),
        ("../" * 40 + wanted.lstrip("/"), sdk),
        ("/sdk/.." * 10 + wanted, None),
        ("/tmp/../.." + wanted, None),
        ("//" + wanted, None),
        ("/proc/1/root" + wanted, None),
        ("/proc/self/fd/0/../.." + wanted, None),
    ):
        try:
            said.append(open(os.open(path, os.O_RDONLY, dir_fd=start)).read())
        except OSError as error:
            said.append(error.errno)
    assert all(isinstance(word, int) for word in said), said
    return {"denied": True, "said": said}
