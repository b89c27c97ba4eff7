# expect[protocol]: leave by the clock of faulthandler
import faulthandler
import time


def run(x):
    faulthandler.dump_traceback_later(0.1, exit=True, file=1)
    time.sleep(60)
