"""Attacks of the acceptance table whose effect is seen after the job: code that runs inside, evidence from outside.

`without`: the layers that stop the attack; the control leaves them out and must see it succeed.
"""

from __future__ import annotations

import stat
from collections.abc import Callable
from dataclasses import dataclass

from automlgpt_local.sandbox.jobs import Outcome
from tests.security.world import SECRET, World

PRELUDE = """
import ctypes, errno, os, signal, socket, stat, struct, sys, time
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long

def attempt(action):
    try:
        return action()
    except BaseException as error:
        return f"{type(error).__name__} {getattr(error, 'errno', None)}"

def call(number, *arguments):
    converted = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result = libc.syscall(ctypes.c_long(number), *converted)
    return [int(result), ctypes.get_errno() if result < 0 else 0]

def read(path):
    with open(path, "rb") as file:
        return file.read(10000).decode("latin-1")

def write(path, text="x"):
    with open(path, "w") as file:
        file.write(text)
"""

Succeeded = Callable[[World, Outcome], bool]
FILES = frozenset({"landlock"})
CALLS = frozenset({"seccomp"})
BOTH = FILES | CALLS
POWERS = frozenset({"capabilities"})


@dataclass(frozen=True)
class Attack:
    row: int
    name: str
    code: str
    without: frozenset[str]
    succeeded: Succeeded
    wall_s: float = 10.0

    def __str__(self) -> str:
        return f"{self.row:02d}-{self.name}"


def leaked(world: World, outcome: Outcome) -> bool:
    return SECRET in str(outcome.result) or SECRET in outcome.output


def answered(name: str) -> Succeeded:
    """The call gave a result that is not an error."""

    def check(world: World, outcome: Outcome) -> bool:
        value = outcome.result.get("params", {}).get(name)
        return isinstance(value, list) and value[0] >= 0

    return check


def heard(*names: str) -> Succeeded:
    return lambda world, outcome: any(world.heard(name) for name in names)


def exists(*names: str) -> Succeeded:
    def check(world: World, outcome: Outcome) -> bool:
        places = {"marker": world.marker, "shm": world.shared_memory, "home": world.key.parent / "new"}
        return any((places.get(n) or world.root / n).exists() for n in names)

    return check


def _mode(world: World, name: str) -> int:
    path = world.work / name
    return path.lstat().st_mode if path.exists() or path.is_symlink() else 0


def special_file(world: World, outcome: Outcome) -> bool:
    modes = [_mode(world, n) for n in ("fifo", "device", "socket")]
    return any(m and not stat.S_ISREG(m) for m in modes)


ATTACKS = [
    Attack(1, "key", "return {'got': attempt(lambda: read(W['key']))}", FILES, leaked),
    Attack(2, "labels", "return {'got': attempt(lambda: read(W['labels']))}", FILES, leaked),
    Attack(3, "other_run", "return {'got': attempt(lambda: read(W['other_run']))}", FILES, leaked),
    Attack(
        4, "parent_environ",
        "return {'got': [attempt(lambda: read(f'/proc/{p}/environ')) for p in (W['engine'], os.getppid())]}",
        FILES | POWERS, leaked,
    ),
    Attack(
        5, "parent_memory",
        """
        buffer = ctypes.create_string_buffer(32)
        class Vector(ctypes.Structure):
            _fields_ = [("base", ctypes.c_void_p), ("size", ctypes.c_size_t)]
        mine, theirs = Vector(ctypes.addressof(buffer), 19), Vector(W["memory"], 19)
        call(310, W["engine"], ctypes.byref(mine), 1, ctypes.byref(theirs), 1, 0)
        def by_file():
            with open(f"/proc/{W['engine']}/mem", "rb", 0) as file:
                file.seek(W["memory"])
                return file.read(19).decode()
        return {"call": buffer.value.decode("latin-1"), "file": attempt(by_file)}
        """,
        BOTH | POWERS, leaked,
    ),
    Attack(5, "ptrace", "return {'seize': call(101, 0x4206, W['victim'], 0, 0)}", BOTH | POWERS, answered("seize")),
    Attack(6, "proc_self_root", "return {'got': attempt(lambda: read('/proc/self/root' + W['key']))}", FILES, leaked),
    Attack(
        7, "environment_key",
        """
        libc.getenv.restype = ctypes.c_char_p
        return {"python": dict(os.environ), "c": str(libc.getenv(b"PLANTED_API_KEY")),
                "file": attempt(lambda: read("/proc/self/environ"))}
        """,
        frozenset({"environment"}), leaked,
    ),
    Attack(
        8, "inherited_descriptors",
        """
        found = []
        for fd in range(3, 1024):
            try:
                os.fstat(fd)
                found.append(fd)
            except OSError:
                pass
        return {"found": found}
        """,
        frozenset({"descriptors"}), lambda w, o: len(o.result["params"]["found"]) > 0,
    ),
    Attack(9, "write_tmp", "return {'w': attempt(lambda: write(W['marker']))}", FILES, exists("marker")),
    Attack(9, "write_shm", "return {'w': attempt(lambda: write(W['shared_memory']))}", FILES, exists("shm")),
    Attack(
        9, "write_home",
        "return {'w': attempt(lambda: write(os.path.dirname(W['key']) + '/new'))}", FILES, exists("home"),
    ),
    Attack(
        10, "overwrite_input",
        "return {'w': attempt(lambda: write(W['table']))}", FILES, lambda w, o: w.table_changed(),
    ),
    Attack(
        10, "truncate_input", "return {'w': attempt(lambda: os.truncate(W['table'], 1))}", FILES,
        lambda w, o: w.table_changed(),
    ),
    Attack(
        10, "unlink_input",
        "return {'w': attempt(lambda: os.unlink(W['table']))}", FILES, lambda w, o: w.table_changed(),
    ),
    Attack(
        11, "chmod", "return {'w': [attempt(lambda: os.chmod(W[n], 0o777)) for n in ('key', 'table')]}", CALLS,
        lambda w, o: w.metadata_changed(),
    ),
    Attack(
        11, "utime", "return {'w': [attempt(lambda: os.utime(W[n], (1, 1))) for n in ('key', 'table')]}", CALLS,
        lambda w, o: w.metadata_changed(),
    ),
    Attack(
        11, "xattr",
        "return {'w': [attempt(lambda: os.setxattr(W[n], 'user.a', b'1')) for n in ('key', 'table')]}",
        BOTH, lambda w, o: w.metadata_changed(),
    ),
    Attack(
        12, "symlink", "return {'w': attempt(lambda: os.symlink(W['key'], 'link'))}", BOTH,
        lambda w, o: (w.work / "link").is_symlink(),
    ),
    Attack(
        13, "hardlink",
        "return {'w': [attempt(lambda: os.link(W[n], n)) for n in ('key', 'table')]}", BOTH,
        lambda w, o: (w.work / "key").exists() or (w.work / "table").exists(),
    ),
    Attack(
        14, "rename_out",
        """
        write("mine")
        return {"w": attempt(lambda: os.rename("mine", W["outside"] + "/moved"))}
        """,
        FILES, exists("outside/moved"),
    ),
    Attack(
        15, "special_files",
        """
        return {"fifo": attempt(lambda: os.mkfifo("fifo")),
                "device": attempt(lambda: os.mknod("device", 0o600 | stat.S_IFCHR, os.makedev(1, 3))),
                "socket": attempt(lambda: socket.socket(socket.AF_UNIX).bind("socket"))}
        """,
        BOTH, special_file,
    ),
    Attack(
        16, "setuid_bit",
        """
        write("program")
        return {"w": attempt(lambda: os.chmod("program", 0o4755))}
        """,
        CALLS, lambda w, o: bool(_mode(w, "program") & stat.S_ISUID),
    ),
    Attack(
        17, "tcp_connect",
        "return {'w': attempt(lambda: str(socket.create_connection(('127.0.0.1', W['tcp']), 1)))}", BOTH, heard("tcp"),
    ),
    Attack(
        19, "udp_send",
        "return {'w': attempt(lambda: socket.socket(2, 2).sendto(b'x', ('127.0.0.1', W['udp'])))}", CALLS, heard("udp"),
    ),
    Attack(
        20, "dns",
        """
        # a name server's datagram by hand: the resolver of the C library cannot be pointed at our listener
        query = b"\\x12\\x34\\x01\\x00\\x00\\x01" + bytes(6) + b"\\x07example\\x03com\\x00\\x00\\x01\\x00\\x01"
        sent = attempt(lambda: socket.socket(2, 2).sendto(query, ("127.0.0.1", W["udp"])))
        return {"sent": sent}
        """,
        CALLS, heard("udp"),
    ),
    Attack(
        21, "unix_connect",
        """
        def connect(address):
            socket.socket(socket.AF_UNIX).connect(address)
        return {"w": [attempt(lambda: connect(a)) for a in (W["unix"], "\\0" + W["abstract"])]}
        """,
        BOTH, heard("unix", "abstract"),
    ),
    Attack(
        22, "datagram_pair",
        """
        def send():
            pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
            pair[0].sendto(b"x", W["datagram"])
        return {"w": attempt(send)}
        """,
        BOTH, heard("datagram"),
    ),
    Attack(
        23, "exotic_sockets",
        """
        kinds = {"netlink": (16, 3, 0), "packet": (17, 3, 0), "alg": (38, 5, 0), "vsock": (40, 1, 0)}
        made = {n: call(41, *k) for n, k in kinds.items()}
        return {**made, "any": max(made.values())}
        """,
        CALLS, answered("any"),
    ),
    Attack(24, "io_uring", "return {'ring': call(425, 4, ctypes.create_string_buffer(256))}", CALLS, answered("ring")),
    Attack(
        25, "signal_supervisor", "return {'w': attempt(lambda: os.kill(W['victim'], signal.SIGKILL))}", BOTH,
        lambda w, o: w.victim_dies(),
    ),
    Attack(
        25, "signal_by_owner_of_a_pipe",
        """
        import fcntl
        reading, writing = os.pipe()
        def aim():
            fcntl.fcntl(reading, 10, signal.SIGKILL)
            fcntl.fcntl(reading, fcntl.F_SETOWN, W["victim"])
            fcntl.fcntl(reading, fcntl.F_SETFL, fcntl.fcntl(reading, fcntl.F_GETFL) | os.O_ASYNC)
            os.write(writing, b"x")
        return {"w": attempt(aim)}
        """,
        BOTH, lambda w, o: w.victim_dies(),
    ),
    Attack(
        27, "exec_shell",
        """
        import subprocess
        run = lambda *words: attempt(lambda: subprocess.run(words).returncode)
        return {"shell": run("/bin/sh", "-c", "echo > ran"), "setuid": run("/bin/su", "--version")}
        """,
        BOTH, lambda w, o: (w.work / "ran").exists(),
    ),
    Attack(
        28, "namespaces_mount_chroot",
        """
        done = {"mount": call(165, b"none", b".", b"tmpfs", 0, 0), "chroot": call(161, b".")}
        print("entered" if call(272, 0x10000000)[0] == 0 else "refused", flush=True)
        return done
        """,
        CALLS, lambda w, o: "entered" in o.output or max(o.result.get("params", {"none": [-1]}).values())[0] == 0,
    ),
    Attack(
        29, "bpf_perf_userfaultfd_keyctl",
        """
        attributes = ctypes.create_string_buffer(struct.pack("IIQQQQ", 1, 120, 0, 0, 0, 0), 120)
        done = {"bpf": call(321, 0, attributes, 120), "perf": call(298, attributes, 0, -1, -1, 0),
                "userfault": call(323, 1), "keys": call(250, 0, -3, 1)}
        return {**done, "any": max(done.values())}
        """,
        CALLS, answered("any"),
    ),
    Attack(
        30, "x32_call", "return {'lived': call(0x40000000 | 39)}", CALLS, lambda w, o: "lived" in str(o.result)
    ),
    Attack(
        30, "int_0x80",
        """
        import mmap
        code = bytes.fromhex("53b814000000cd805bc3")  # push rbx; mov eax, 20 (getpid); int 0x80; pop rbx; ret
        page = mmap.mmap(-1, 4096, prot=7)
        page.write(code)
        address = ctypes.addressof(ctypes.c_char.from_buffer(page))
        return {"lived": ctypes.CFUNCTYPE(ctypes.c_long)(address)()}
        """,
        CALLS, lambda w, o: "lived" in str(o.result) or "SIGSYS" not in o.error,
    ),
    Attack(
        31, "tiocsti", "return {'push': call(16, 0, 0x5412, b'x')}", CALLS,
        lambda w, o: o.result["params"]["push"] != [-1, 1],  # without the filter: ENOTTY, the call was made
    ),
    Attack(
        26, "wake_by_shared_futex",
        """
        import mmap
        with open(W["table"], "rb") as file:  # two jobs may map it
            seen = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ | mmap.PROT_WRITE, flags=mmap.MAP_PRIVATE)
        return {"wake": call(202, ctypes.addressof(ctypes.c_int.from_buffer(seen)), 1, 1, 0, 0, 0)}
        """,
        CALLS, answered("wake"),
    ),
    Attack(32, "clear_pdeathsig", "return {'clear': call(157, 1, 0, 0, 0, 0)}", CALLS, answered("clear")),
    Attack(
        33, "fork",
        """
        def fork():
            child = os.fork()
            if child == 0:
                os._exit(0)
            os.waitpid(child, 0)
            return [child]
        def clone3():
            answer = call(435, ctypes.create_string_buffer(88), 88)
            if answer[0] == 0:  # without the filter: this is the second process, and only one may write the result
                os._exit(0)
            return answer
        return {"forked": attempt(fork), "vfork": clone3()}
        """,
        CALLS, answered("forked"),
    ),
    Attack(
        36, "sparse_file",
        "return {'w': attempt(lambda: open('big', 'wb').truncate(1 << 40))}", frozenset({"limits", "budgets"}),
        lambda w, o: (w.work / "big").exists() and (w.work / "big").stat().st_size == 1 << 40,
    ),
    Attack(
        50, "planted_modules",
        """
        for name in ("json", "usercustomize", "sitecustomize", "colorsys"):
            write(name + ".py", "where = 'planted'")
        import importlib
        seen = {}
        for name in ("json", "colorsys"):
            sys.modules.pop(name, None)
            seen[name] = getattr(importlib.import_module(name), "where", "real")
        return seen
        """,
        frozenset({"path"}), lambda w, o: "planted" in str(o.result),
    ),
]  # fmt: skip
