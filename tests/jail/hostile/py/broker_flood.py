# expect[budget user_error]: call budget ends the call
async def run(x):
    for i in range(100000):
        await ctx.fetch("https://flood.example/")
