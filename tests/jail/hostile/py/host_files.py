# expect[ok_denied]: read passwords, sockets and tokens of the host
def run(x):
    o = {}
    for f in (
        "/etc/shadow",
        "CANARY_FILE",
        "/root/.ssh/id_rsa",
        "/../..CANARY_FILE",
        "/run/secrets/kubernetes.io/serviceaccount/token",
    ):
        try:
            o[f] = open(f).read()
        except OSError as e:
            o[f] = type(e).__name__
    assert all(v in ("FileNotFoundError", "PermissionError") for v in o.values()), o
    return {"denied": True}
