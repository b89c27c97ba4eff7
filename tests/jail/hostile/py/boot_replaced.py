# expect[protocol]: answer in the place of the boot code
import json

from hardpoint_sdk import boot, channel


def run(x):
    json.dumps = lambda *_, **__: '{"result":{"value":"forged"},"usage":{}}'
    channel.encode = lambda frame: (b"\x00\x00\x00\x02{}")
    boot._fitting = lambda frame: b"\xff\xff\xff\xff" + b"a" * 100
    return 1
