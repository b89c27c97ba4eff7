# expect[ok_denied]: throw the shared interpreter out of the page cache, so that neighbours start slowly
import os
import sysconfig


def run(x):
    file = os.open(os.path.join(sysconfig.get_path("stdlib"), "os.py"), os.O_RDONLY)
    try:
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    except PermissionError as error:
        return {"denied": True, "said": error.errno}
    raise AssertionError("EVICTED")
