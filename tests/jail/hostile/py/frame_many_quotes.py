# expect[ok protocol budget output_limit]: a megabyte of quotes and backslashes, for whoever looks for brackets outside of texts
import os


def say(body):
    os.write(3, len(body).to_bytes(4, "big"))
    while body:
        body = body[os.write(3, body):]


def run(x):
    for part in (b'""', b'\\"', b'"[', b'\\\\"', b'[]"'):
        say(b'{"log":{"message":"' + part * 250_000 + b"[" * 100 + b'"}}')
    while True:
        pass
