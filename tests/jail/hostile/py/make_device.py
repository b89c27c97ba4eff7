# expect[violation]: a device node for the host's disk
import os
import stat


def run(x):
    os.mknod("/tmp/disk", stat.S_IFBLK | 0o666, os.makedev(254, 0))
    return open("/tmp/disk", "rb").read(16).hex()
