# expect[ok_denied]: change the interpreter and the SDK of calls to come
def run(x):
    o = []
    for f in ("/sdk/hardpoint_sdk/boot.py", "/usr/lib/python3.11/os.py", "/etc/passwd", "/newfile"):
        try:
            open(f, "w")
            o.append("OK")
        except OSError as e:
            o.append(e.errno)
    assert "OK" not in o, o
    return {"denied": True, "o": o}
