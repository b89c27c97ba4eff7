# expect[timeout]: an endless query
import sqlite3


def run(x):
    base = sqlite3.connect("/tmp/base")
    return base.execute("with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n").fetchone()
