# expect[ok_denied]: files larger than the disk that hold nothing
import os


def run(x):
    said = []
    for size in (1 << 40, 1 << 62, (16 << 20) + 1):
        with open("/tmp/sparse", "wb") as file:
            for attempt in (lambda: os.truncate("/tmp/sparse", size), lambda: os.posix_fallocate(file.fileno(), 0, size), lambda: os.pwrite(file.fileno(), b"x", size)):
                try:
                    attempt()
                    said.append("OK")
                except OSError as error:
                    said.append(error.errno)
    assert "OK" not in said, said
    return {"denied": True, "said": said}
