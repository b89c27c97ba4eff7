# expect[timeout]: an answer that is never there: an awaitable without end
import asyncio


class Never:
    def __await__(self):
        while True:
            yield from asyncio.sleep(0).__await__()


async def run(x):
    await Never()
