"""Numbers of the system calls that confined code may make: name -> (x86-64, aarch64). None: no such call there.

The aarch64 column is taken from the kernel's headers and has never been run.
"""

from __future__ import annotations

Number = int | None

# Calls that reach nothing but the process itself and the files that Landlock lets it open.
ALLOWED: dict[str, tuple[Number, Number]] = {
    "read": (0, 63), "write": (1, 64), "mmap": (9, 222), "munmap": (11, 215),
    "madvise": (28, 233), "mprotect": (10, 226), "brk": (12, 214), "sched_yield": (24, 124), "close": (3, 57),
    "newfstatat": (262, 79), "openat": (257, 56), "fstat": (5, 80), "lseek": (8, 62), "pread64": (17, 67),
    # files
    "pwrite64": (18, 68), "readv": (19, 65), "writev": (20, 66), "preadv": (295, 69), "pwritev": (296, 70),
    "dup": (32, 23), "dup3": (292, 24), "sendfile": (40, 71), "fsync": (74, 82), "fdatasync": (75, 83),
    "truncate": (76, 45), "ftruncate": (77, 46),
    "copy_file_range": (326, 285), "getdents64": (217, 61),
    "getcwd": (79, 17), "chdir": (80, 49), "fchdir": (81, 50), "umask": (95, 166), "mkdirat": (258, 34),
    "unlinkat": (263, 35), "renameat": (264, 38), "readlinkat": (267, 78),
    "faccessat": (269, 48), "faccessat2": (439, 439), "statx": (332, 291), "statfs": (137, 43), "fstatfs": (138, 44),
    "pipe2": (293, 59), "eventfd2": (290, 19), "epoll_create1": (291, 20),
    "epoll_ctl": (233, 21), "epoll_pwait": (281, 22), "pselect6": (270, 72), "ppoll": (271, 73),
    # memory, threads, time
    "mremap": (25, 216), "msync": (26, 227), "mlock": (149, 228), "munlock": (150, 229),
    "set_robust_list": (273, 99), "set_tid_address": (218, 96), "rseq": (334, 293), "membarrier": (324, 283),
    "exit": (60, 93), "exit_group": (231, 94), "wait4": (61, 260), "nanosleep": (35, 101),
    "clock_nanosleep": (230, 115), "clock_gettime": (228, 113), "clock_getres": (229, 114), "gettimeofday": (96, 169),
    "getitimer": (36, 102), "setitimer": (38, 103), "times": (100, 153), "getrusage": (98, 165),
    "restart_syscall": (219, 128), "getrandom": (318, 278), "getcpu": (309, 168), "sched_getaffinity": (204, 123),
    "sched_getparam": (143, 121), "sched_getscheduler": (145, 120), "sched_get_priority_max": (146, 125),
    "sched_get_priority_min": (147, 126), "getpriority": (140, 141),
    # signals to oneself
    "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139), "rt_sigpending": (127, 136),
    "rt_sigtimedwait": (128, 137), "rt_sigsuspend": (130, 133), "sigaltstack": (131, 132),
    # who am I
    "getpid": (39, 172), "gettid": (186, 178), "getppid": (110, 173), "getuid": (102, 174), "geteuid": (107, 175),
    "getgid": (104, 176), "getegid": (108, 177), "getpgid": (121, 155), "getsid": (124, 156), "uname": (63, 160),
    "sysinfo": (99, 179), "capget": (125, 90),
    # older names of the same things, x86-64 only
    "open": (2, None), "stat": (4, None), "lstat": (6, None), "access": (21, None), "poll": (7, None),
    "select": (23, None), "pipe": (22, None), "dup2": (33, None), "pause": (34, None), "alarm": (37, None),
    "getdents": (78, None), "rename": (82, None), "mkdir": (83, None), "rmdir": (84, None), "creat": (85, None),
    "unlink": (87, None), "readlink": (89, None), "getrlimit": (97, 163), "time": (201, None),
    "getpgrp": (111, None), "epoll_create": (213, None), "epoll_wait": (232, None), "eventfd": (284, None),
}  # fmt: skip

# Landlock does not govern metadata. These answer "done" and do nothing, so that shutil.copy2 and its like still work.
# fadvise64 would let one job evict the cached pages of a file that another job can see.
IGNORED: dict[str, tuple[Number, Number]] = {
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452), "utime": (132, None),
    "utimes": (235, None), "futimesat": (261, None), "utimensat": (280, 88),
    "fadvise64": (221, 223),
}  # fmt: skip

# Calls whose arguments decide (`seccomp.program`).
JUDGED: dict[str, tuple[Number, Number]] = {
    "close_range": (436, 436), "renameat2": (316, 276), "clone": (56, 220), "clone3": (435, 435), "kill": (62, 129),
    "tgkill": (234, 131), "ioctl": (16, 29), "futex": (202, 98),
    "fcntl": (72, 25), "prctl": (157, 167), "prlimit64": (302, 261),
}  # fmt: skip

SECCOMP: tuple[Number, Number] = (317, 277)
CAPSET: tuple[Number, Number] = (126, 91)

# Calls from this number on did not exist when the table was made: "no such call" lets C libraries take the older way.
FIRST_UNKNOWN = 464
