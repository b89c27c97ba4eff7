"""Owns what libraries cost: each is imported in a jail, and the figures are kept beside the layers."""

from typing import Any

import structlog

from hardpoint_executor.limits import seconds, whole
from hardpoint_manifest.engine import LIBRARIES

from .interface import ClosedDoor, JailCall, Layer, Limits
from .layers import Layers
from .rootfs import RootfsError
from .selftest import Runs

_log = structlog.get_logger(__name__)

# Address space is counted from outside by a limit alone, so the room that is left under it tells what is taken.
_PROBE = """
import mmap, resource, time
from importlib import import_module
from hardpoint_sdk import action, capability
capability(id="measuring")

def room():
    fits, fails = 0, 1 << 34
    while fails - fits > mmap.PAGESIZE:
        size = (fits + fails) // 2
        try:
            mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, mmap.PROT_READ).close()
        except OSError:
            fails = size
        else:
            fits = size
    return fits

def resident():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

@action
def measure(self, modules):
    room_before, resident_before, started = room(), resident(), time.process_time()
    for module in modules:
        import_module(module)
    return {
        "import_ms": (time.process_time() - started) * 1000,
        "resident_bytes": max(0, resident() - resident_before),
        "address_bytes": max(0, room_before - room()),
    }
"""
_LIMITS = Limits(seconds("library.wall_seconds"), whole("library.memory_mib"), broker_calls=0)


async def measured(layers: Layers, calls: Runs) -> dict[str, Layer]:
    """Return the libraries with what they cost, measured now when it was not before.

    Raises RootfsError for one that cannot be imported.
    """
    figures = layers.figures
    if figures is None:
        figures = {name: await _measure(layer, calls) for name, layer in layers.offered.items()}
        try:
            figures = layers.keep(figures)
        except OSError as error:  # somebody else built the folder, and this process may only read it
            _log.info("what libraries cost is measured again at the next start", why=str(error))
    return layers.costing(figures)


async def _measure(layer: Layer, calls: Runs) -> dict[str, Any]:
    """The figures of the quicker one of two imports: the first finds nothing in the machine's memory."""
    return min([await _import(layer, calls) for _ in range(2)], key=lambda figures: figures["import_ms"])


async def _import(layer: Layer, calls: Runs) -> dict[str, Any]:
    modules = list(LIBRARIES[layer.name].modules)
    call = JailCall("python", _PROBE, "measuring.py", "measure", modules, limits=_LIMITS, libraries=(layer.name,))
    outcome = await calls.run(call, ClosedDoor())
    if not outcome.ok:
        raise RootfsError(
            f"{layer.name} {layer.version} cannot be imported in a jail ({outcome.error_name or outcome.kind.value}: "
            f"{outcome.message}): install another version, or leave it out"
        )
    figures: dict[str, Any] = outcome.value
    return figures
