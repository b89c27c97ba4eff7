# expect[violation]: getpid through int 0x80, whose numbers mean other calls
import ctypes
import mmap


def native(code):
    """Run machine code and return what it leaves in rax."""
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    return ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()


def run(x):
    return native(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")
