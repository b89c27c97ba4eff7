# expect[user_error]: an error whose text is code
class Evil(Exception):
    def __str__(self):
        raise self

    def __class__(self):
        raise self


def run(x):
    error = Evil()
    error.__context__ = error
    raise error
