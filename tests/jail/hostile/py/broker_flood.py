# expect[user_error]: fetch for ever
async def run(x):
    for i in range(100000):
        await ctx.fetch("https://flood.example/")
