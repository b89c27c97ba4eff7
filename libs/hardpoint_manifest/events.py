"""Owns the names of what happens in an org that a trigger of type `event` may wait for."""

from typing import Final

UPLOADED: Final = "file.uploaded"
RUN_FINISHED: Final = "run.finished"
RUN_FAILED: Final = "run.failed"
RUN_WAITING: Final = "run.waiting"
EVENTS: Final = (UPLOADED, RUN_FINISHED, RUN_FAILED, RUN_WAITING)
