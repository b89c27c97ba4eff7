# expect[budget]: a megabyte of one number, for a reader whose time grows with its square
import os


def say(body):
    os.write(3, len(body).to_bytes(4, "big"))
    while body:
        body = body[os.write(3, body):]


def run(x):
    half = b"9007199254740993." + b"0" * 900_000 + b"1"
    for number in (half, b"0." + b"0" * 900_000 + b"1", b"1" * 900_000 + b"e-900000", b"1e-" + b"9" * 900_000):
        say(b'{"progress":{"fraction":0.5,"message":"","n":' + number + b"}}")
    while True:
        pass
