"""Owns the system calls of the executor's container: which are left, and why. Writes `executor.json` beside it.

    python deploy/seccomp/profile.py > deploy/seccomp/executor.json

What is not named is refused. The list was made by watching what the executor, nsjail, Python and Node call in a
container; where libc chooses among the calls of a family, the family is here. A jail cannot be given more than its
container has, so everything that `jail/base.policy` leaves to a plugin is here too. What the jails need beyond an
ordinary program is a group of its own; tests/deploy/test_oci.py takes its calls away one by one.

The format is that of the OCI runtime specification and no more. Docker's has conditions such as "with CAP_SYS_ADMIN",
which containerd does not know and passes over: such a rule would be granted to everybody.
"""

import json
import sys
from dataclasses import dataclass
from typing import Any

ALLOW, REFUSE, GIVE_WAY = "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_TRACE"
EPERM, ENOSYS = 1, 38
UNIX, IPV4, IPV6, NETLINK = 1, 2, 10, 16


@dataclass(frozen=True)
class Rule:
    """Calls that go together and why they are allowed; `equal` bounds an argument: its position and its one value."""

    names: str
    why: str
    equal: tuple[int, int] | None = None


ORDINARY = (
    # Files.
    Rule("open openat close close_range", "open and close files"),
    Rule("read readv pread64 preadv preadv2 write writev pwrite64 pwritev pwritev2 lseek", "read and write them"),
    Rule("stat fstat lstat newfstatat statx access faccessat faccessat2", "look at them"),
    Rule("readlink readlinkat getdents64 getcwd chdir statfs fstatfs", "find them"),
    Rule("dup dup2 dup3 fcntl flock pipe pipe2 umask", "hand descriptors on: a jail gets exactly five"),
    Rule("ioctl", "ask a terminal, unblock a pipe; the container's devices are null, zero, random and tty"),
    Rule(
        "mkdir mkdirat rmdir rename renameat renameat2 unlink unlinkat",
        "build the jails' root folders, and plugins' /tmp",
    ),
    Rule(
        "chmod fchmod fchmodat utimensat listxattr getxattr", "give copies of the interpreter the modes of the original"
    ),
    Rule("sendfile copy_file_range fallocate ftruncate truncate fadvise64", "copy them"),
    Rule("fsync fdatasync sync_file_range", "plugins that use SQLite"),
    # Memory.
    Rule("brk mmap munmap mremap mprotect madvise", "every program"),
    Rule("pkey_alloc pkey_free pkey_mprotect membarrier", "V8 guards its compiled code with these"),
    # Threads and waiting.
    Rule("futex futex_waitv set_robust_list get_robust_list set_tid_address rseq", "threads"),
    Rule("sched_yield sched_getaffinity sched_getparam sched_getscheduler getcpu", "gRPC and V8 count processors"),
    Rule(
        "poll ppoll select pselect6 epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 eventfd2", "event loops"
    ),
    Rule("clock_gettime clock_getres gettimeofday time times clock_nanosleep nanosleep", "clocks and sleep"),
    Rule("timerfd_create timerfd_settime timerfd_gettime setitimer", "timers; nsjail wakes itself by an alarm"),
    # Processes and signals.
    Rule("execve vfork fork wait4 waitid exit exit_group", "start nsjail and ldd, and see them end"),
    Rule("seccomp", "hear which forbidden call a plugin made"),
    Rule("arch_prctl prctl", "the loader; no_new_privs, the parent's death, and nsjail's own filter"),
    Rule("rt_sigaction rt_sigprocmask rt_sigreturn rt_sigtimedwait sigaltstack restart_syscall pause", "signals"),
    Rule("kill tgkill pidfd_open pidfd_send_signal", "end a jail by a descriptor, which cannot hit another process"),
    Rule("getpid gettid getppid getpgrp getpgid getsid setsid setpgid", "who one is; nsjail leads a session"),
    Rule("getuid geteuid getgid getegid getresuid getresgid getgroups capget", "whom one runs as"),
    Rule("getrlimit setrlimit prlimit64 getpriority setpriority", "the limits of a jail, while it has no cgroup"),
    Rule("getrusage sysinfo uname getrandom", "what a call used; the machine; random numbers"),
    # The network: gRPC, the broker's requests, names. Other families (packets, crypto, hypervisor) are closed.
    Rule("socket", "the channel between executor and jail", equal=(0, UNIX)),
    Rule("socket", "gRPC, the broker, DNS", equal=(0, IPV4)),
    Rule("socket", "gRPC, the broker, DNS", equal=(0, IPV6)),
    Rule("socket", "libc asks which addresses the machine has before it resolves a name", equal=(0, NETLINK)),
    Rule("socketpair", "the channel between executor and jail; asyncio wakes its loop with one", equal=(0, UNIX)),
    Rule("bind listen accept accept4 connect shutdown", "serve and dial"),
    Rule("getsockname getpeername getsockopt setsockopt", "serve and dial"),
    Rule(
        "sendto sendmsg sendmmsg recvfrom recvmsg recvmmsg", "talk; libc asks for both kinds of address in one sendmmsg"
    ),
)

# nsjail starts without a privilege: it makes a user namespace first, and has capabilities in there alone.
JAILS = (
    Rule("clone", "a process in namespaces of its own; an ordinary thread is a clone too"),
    Rule("clone3", "the same with a newer call, whose arguments no filter can read"),
    Rule("mount", "the jail's root folder, its /tmp"),
    Rule("pivot_root", "make that the whole world of the jail"),
    Rule("umount2", "and let go of the old one"),
    Rule("sethostname", "so that a plugin does not learn the pod's name"),
    Rule("setresuid setresgid", "become the plugin's user, after the namespace has one"),
    Rule("capset", "drop what the new namespace gave"),
)

# Programs try these and take an older way when they hear that the kernel does not have them.
ABSENT = (Rule("io_uring_setup io_uring_enter io_uring_register", "Node tries it at each start"),)


# Refused like what is not named. But of several filters the kernel heeds the strictest, and TRACE (ENOSYS, since nobody
# traces) gives way to the filter of a slot that tells which of these calls a plugin made.
TOLD = (
    Rule("ptrace process_vm_readv process_vm_writev process_madvise kcmp", "other processes"),
    Rule("chroot fsopen fsmount fsconfig fspick move_mount open_tree mount_setattr", "mounts and roots"),
    Rule("unshare setns", "namespaces"),
    Rule("setuid setgid setreuid setregid setfsuid setfsgid setgroups", "users and groups"),
    Rule("bpf kexec_load kexec_file_load init_module finit_module delete_module", "programs of the kernel"),
    Rule("perf_event_open userfaultfd lookup_dcookie syslog", "the kernel at work"),
    Rule("keyctl add_key request_key", "keyrings"),
    Rule("mknod mknodat open_by_handle_at name_to_handle_at", "devices, and files past their folders"),
    Rule("settimeofday clock_settime adjtimex clock_adjtime setdomainname", "the machine's clock and name"),
    Rule("swapon swapoff quotactl acct iopl ioperm reboot", "its disks, ports and power"),
    Rule("personality modify_ldt", "other systems and segments"),
    Rule("move_pages migrate_pages set_mempolicy", "memory of other nodes"),
)


def syscall(rule: Rule, action: str = ALLOW) -> dict[str, Any]:
    """One entry of the profile; `comment` is for readers, runtimes pass over it."""
    entry: dict[str, Any] = {"names": rule.names.split(), "action": action, "comment": rule.why}
    if rule.equal is not None:
        position, value = rule.equal
        entry["args"] = [{"index": position, "value": value, "op": "SCMP_CMP_EQ"}]
    if action == REFUSE:
        entry["errnoRet"] = ENOSYS
    return entry


def profile(rules: tuple[Rule, ...] = ORDINARY + JAILS) -> dict[str, Any]:
    """The filter that allows these rules. 32-bit programs and x32 calls have none, and are killed."""
    refused = [*(syscall(rule, REFUSE) for rule in ABSENT), *(syscall(rule, GIVE_WAY) for rule in TOLD)]
    return {
        "defaultAction": REFUSE,
        "defaultErrnoRet": EPERM,
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [*map(syscall, rules), *refused],
    }


if __name__ == "__main__":
    json.dump(profile(), sys.stdout, indent=1)
    sys.stdout.write("\n")
