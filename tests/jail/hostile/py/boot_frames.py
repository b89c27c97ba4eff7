# expect[ok_denied]: read what the boot code holds: its frames, the whole heap
import gc
import sys


def run(x):
    seen, step = [], sys._getframe()
    while step is not None:
        seen.append(repr(dict(step.f_locals))[:50_000])
        step = step.f_back
    seen += [repr(found)[:100] for found in gc.get_objects() if type(found) in (dict, list)]
    return {"denied": True, "seen": "".join(seen)[:900_000]}  # the siege looks for its secrets in it
