# expect[user_error]: a class whose members are code
from hardpoint_sdk import action, capability


class Meta(type):
    def __dir__(cls):
        return ["a" * n for n in range(1, 100)]

    def __getattr__(cls, name):
        raise KeyboardInterrupt(name)


@capability(id="hostile", name="Hostile", version="1.0.0")
class Hostile(metaclass=Meta):
    pass
