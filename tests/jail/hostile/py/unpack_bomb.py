# expect[user_error oom]: a little that unpacks to more than all its memory
import zlib


def run(x):
    packer = zlib.compressobj(1)
    packed = b"".join(packer.compress(bytes(1 << 20)) for _ in range(160)) + packer.flush()
    return len(zlib.decompress(packed))
