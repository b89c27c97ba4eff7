# expect[ok_denied]: advise the kernel about pages that others use: poison, offline, page out, merge
import ctypes
import errno

libc = ctypes.CDLL(None, use_errno=True)
POISON = {"HWPOISON": 100, "SOFT_OFFLINE": 101, "REMOVE": 9}
RUDE = {"COLD": 20, "PAGEOUT": 21, "MERGEABLE": 12, "HUGEPAGE": 14, "COLLAPSE": 25, "POPULATE_WRITE": 23}


def run(x):
    import mmap
    import sys

    said = {}
    with open(sys.executable or "/proc/none", "rb") if sys.executable else open("/sdk/hardpoint_sdk/boot.py", "rb") as file:
        shared = mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
    size = len(shared) & ~4095 or 4096
    address = ctypes.addressof(ctypes.c_char.from_buffer(shared))
    for name, advice in {**POISON, **RUDE}.items():
        ctypes.set_errno(0)
        result = libc.madvise(ctypes.c_void_p(address), ctypes.c_size_t(size), advice)
        said[name] = errno.errorcode.get(ctypes.get_errno(), "?") if result else "done"
    assert not {said[name] for name in POISON} & {"done"}, said
    return {"denied": True, "said": said}
