# expect[ok]: an import hook under everything that is loaded later
import sys
from hardpoint_sdk import action, capability


class Hook:
    def find_spec(self, name, path=None, target=None):
        raise SystemExit(name)


sys.meta_path[:] = [Hook()]
sys.modules["json"] = sys.modules["hardpoint_sdk.channel"] = None
capability(id="hostile", name="Hostile", version="1.0.0")


@action
async def a(self, input):
    return 1
