# expect[ok_denied]: dnotify on the shared standard library: hear which modules other tenants load
import fcntl
import os
import signal
import sysconfig
import time

DN_ACCESS, DN_MULTISHOT = 1, 0x80000000


def run(x):
    heard = []
    signal.signal(signal.SIGIO, lambda *_: heard.append(1))
    folder = os.open(sysconfig.get_path("stdlib"), os.O_RDONLY)
    try:
        fcntl.fcntl(folder, fcntl.F_NOTIFY, DN_ACCESS | DN_MULTISHOT)
    except OSError as error:
        return {"denied": True, "said": error.errno}
    time.sleep(0.5)
    raise AssertionError(f"listening, heard {len(heard)} so far")
