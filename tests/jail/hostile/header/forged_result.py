# expect[protocol]: a result where only a header was asked for
import os
import time

body = b'{"result":{"value":{"id":"hostile"}}}'
os.write(3, len(body).to_bytes(4, "big") + body)
time.sleep(60)
