# expect[ok]: refuse everything that the interpreter does from now on
import sys


def run(x):
    def refuse(event, arguments):
        raise RuntimeError(f"no {event}")

    sys.addaudithook(refuse)
    return 1
