"""Owns what is said of the system calls for which a plugin is killed: what each of them does that no plugin may do."""

_DOES = {
    "looks into other processes or steers them": "ptrace process_vm_readv process_vm_writev process_madvise kcmp",
    "changes what is mounted, or where the root is": (
        "mount umount pivot_root chroot fsopen fsmount fsconfig fspick move_mount open_tree mount_setattr"
    ),
    "makes or enters namespaces": "unshare setns",
    "changes users, groups or capabilities": (
        "setuid setgid setreuid setregid setresuid setresgid setfsuid setfsgid setgroups capset"
    ),
    "loads programs into the kernel, or another kernel": (
        "bpf kexec_load kexec_file_load init_module finit_module delete_module"
    ),
    "watches the kernel at work, or holds it up": "perf_event_open userfaultfd lookup_dcookie syslog",
    "reaches the kernel's keyrings": "keyctl add_key request_key",
    "makes devices, or opens files past their folders": "mknod mknodat open_by_handle_at name_to_handle_at",
    "changes the machine: its clock, its name, its disks, its ports": (
        "settimeofday clock_settime adjtimex clock_adjtime sethostname setdomainname swapon swapoff quotactl acct iopl "
        "ioperm reboot"
    ),
    "changes which system or which segments a process sees": "personality modify_ldt",
    "moves memory between the machine's nodes": "move_pages migrate_pages set_mempolicy",
}

WHAT_IT_DOES = {name: does for does, names in _DOES.items() for name in names.split()}
"""By the name of the call, which is the subject of the sentence."""
