"""When a process looks into the queue."""

import threading

from hardpoint_runtime.durable.looks import _Pause


def test_once_it_is_over_nothing_waits_any_more() -> None:
    pause = _Pause(lambda: False)
    pause.set()
    waiting = threading.Thread(target=lambda: [pause.wait(60) for _ in range(2)], daemon=True)
    waiting.start()
    waiting.join(5)
    assert not waiting.is_alive()
