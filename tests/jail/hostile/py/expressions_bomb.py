# expect[user_error crash oom timeout]: source that the compiler chokes on
def run(x):
    source = "(" * 10_000 + ")" * 10_000
    try:
        eval(source)
    except (SyntaxError, MemoryError, RecursionError):
        pass
    return len(eval("-" * 100_000 + "1", {}))
