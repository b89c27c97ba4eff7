# expect[user_error]: a header of numbers that are none
from hardpoint_sdk import action, capability

capability(id="hostile", name="Hostile", version="1.0.0", limits={"seconds": float("nan"), "bytes": 10**400})


@action(effect=float("inf"))
async def a(self, input):
    return 1
