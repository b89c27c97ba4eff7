"""The start of `hardpoint`: while it loads, Ctrl-C ends it as it ends any program, without a stack."""

import signal


def main() -> None:
    """Entry point of the console script."""
    interruptible = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # not behind nohup
    if interruptible:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from hardpoint_cli.main import loaded

    run = loaded()
    if interruptible:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    run()


if __name__ == "__main__":
    main()
