# expect[user_error]: a result whose parts are code
class Endless(dict):
    def items(self):
        while True:
            yield "a", [Endless()]

    def __bool__(self):
        raise SystemExit(0)

    def __len__(self):
        return 1


class Number(float):
    def __repr__(self):
        raise KeyboardInterrupt


def run(x):
    return {"a": Endless(), "b": Number(1), "c": Endless}
