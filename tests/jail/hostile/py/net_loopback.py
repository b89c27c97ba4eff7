# expect[user_error]: connect to a service on the host's loopback
import socket


def run(x):
    s = socket.create_connection(("127.0.0.1", CANARY_PORT), 2)
    s.send(b"pwned")
    return "connected"
