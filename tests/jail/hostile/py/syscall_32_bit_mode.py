# expect[violation crash]: jump to the 32-bit code segment and call from there
import ctypes
import mmap

MAP_32BIT = 0x40


def run(x):
    page = mmap.mmap(-1, 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_32BIT, mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    place = ctypes.addressof(ctypes.c_char.from_buffer(page))
    assert place < 1 << 32
    inside = b"\xb8\x66\x00\x00\x00\xcd\x80\xf4"  # mov eax, 102 (socketcall); int 0x80; hlt
    jump = b"\x48\xbc" + (place + 2048).to_bytes(8, "little")  # mov rsp, below 4 GiB
    jump += b"\x6a\x23\x68" + (place + 64).to_bytes(4, "little") + b"\x48\xcb"  # push 0x23; push place; retfq
    page.write(jump.ljust(64, b"\x90") + inside)
    return ctypes.CFUNCTYPE(ctypes.c_long)(place)()
