# expect[user_error]: a failure at a line that moves whoever shows it
import json
import os
import time

place = {"function": "", "file": "../../etc/shadow", "line": 10**300, "column": 10**300}
body = json.dumps({"failure": {"name": "SyntaxError", "message": "\x1b[2J", "stack": [place]}}).encode()
os.write(3, len(body).to_bytes(4, "big") + body)
time.sleep(60)
