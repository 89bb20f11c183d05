"""The kernel layers one by one: what the filter answers (run by a small interpreter), what a confined fork can do."""

from __future__ import annotations

import errno
import os
import struct
from pathlib import Path

import pytest

from automlgpt_local import confine
from automlgpt_local.confine import calls, kernel, landlock, policy, seccomp
from automlgpt_local.confine.probe import layers

ALLOW, KILL = 0x7FFF0000, 0x80000000
AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
I386 = 0x40000003
PID = 4242


def refused(code: int) -> int:
    return 0x00050000 | code


def answer(program: bytes, arch: int, number: int, *arguments: int) -> int:
    """What the kernel would do: classic BPF over struct seccomp_data."""
    padded = [a & (2**64 - 1) for a in (*arguments, *[0] * (6 - len(arguments)))]
    data = struct.pack("=iIQ6Q", number, arch, 0, *padded)
    code = [struct.unpack_from("=HBBI", program, i) for i in range(0, len(program), 8)]
    at, register = 0, 0
    while True:
        operation, if_true, if_false, constant = code[at]
        at += 1
        if operation == 0x20:
            (register,) = struct.unpack_from("=I", data, constant)
        elif operation == 0x06:
            return constant
        else:
            holds = {0x15: register == constant, 0x35: register >= constant, 0x45: bool(register & constant)}[operation]
            at += if_true if holds else if_false


@pytest.fixture(params=list(AUDIT))
def ask(request, monkeypatch):
    """(name or number, arguments) -> the filter's answer, on both processors."""
    monkeypatch.setattr(kernel, "ARCH", request.param)
    seccomp._template.cache_clear()
    program = seccomp.program(PID)
    column = list(AUDIT).index(request.param)

    def asked(call: str | int, *arguments: int) -> int:
        if isinstance(call, str):
            found = next(table[call] for table in (calls.ALLOWED, calls.IGNORED, calls.JUDGED) if call in table)[column]
            assert found is not None
            call = found
        return answer(program, AUDIT[request.param], call, *arguments)

    asked.arch, asked.program, asked.column = request.param, program, column
    yield asked
    seccomp._template.cache_clear()


def test_listed_calls_are_allowed_and_all_others_refused(ask):
    listed = {pair[ask.column] for table in (calls.ALLOWED, calls.IGNORED, calls.JUDGED) for pair in table.values()}
    for pair in calls.ALLOWED.values():
        if pair[ask.column] is not None:
            assert ask(pair[ask.column]) == ALLOW
    for number in set(range(calls.FIRST_UNKNOWN)) - listed:
        assert ask(number) == refused(errno.EPERM)
    assert ask(calls.FIRST_UNKNOWN) == ask(100_000) == refused(errno.ENOSYS)


def test_no_number_is_listed_twice(ask):
    numbers = [p[ask.column] for t in (calls.ALLOWED, calls.IGNORED, calls.JUDGED) for p in t.values()]
    known = [n for n in numbers if n is not None]
    assert len(known) == len(set(known))


def test_other_call_conventions_end_the_process(ask):
    assert answer(ask.program, I386, 20) == KILL
    assert answer(ask.program, 0, 0) == KILL
    if ask.arch == "x86_64":
        assert ask(0x40000000 | 39) == KILL


@pytest.mark.parametrize(
    ("call", "arguments", "allowed"),
    [
        ("clone", (0x10000 | 0x3D0F00,), True),  # a thread
        ("clone", (17,), False),  # a process
        ("clone", (0x10000000,), False),  # a user namespace
        ("kill", (PID, 9), True),
        ("kill", (PID + 1, 9), False),
        ("kill", (0, 9), False),
        ("kill", (-1, 9), False),
        ("tgkill", (PID, 77, 6), True),
        ("tgkill", (1, 1, 6), False),
        ("ioctl", (1, 0x5401), True),
        ("ioctl", (0, 0x5412), False),  # TIOCSTI
        ("ioctl", (0, 0x541C), False),  # TIOCLINUX
        ("ioctl", (3, 0x8901), False),  # FIOSETOWN
        ("fcntl", (3, 1), True),
        ("fcntl", (3, 8, 1), False),  # F_SETOWN
        ("fcntl", (3, 10, 9), False),  # F_SETSIG
        ("fcntl", (3, 1031, 1 << 20), False),  # F_SETPIPE_SZ
        ("prctl", (15,), True),
        ("prctl", (1, 0), False),  # PR_SET_PDEATHSIG
        ("prctl", (22,), False),  # PR_SET_SECCOMP
        ("prctl", (0x53564D41, 0), False),  # PR_SET_VMA
        ("futex", (1, 128 | 1, 1), True),  # a wake within the process
        ("futex", (1, 128 | 5, 1), True),
        ("futex", (1, 0, 7), True),  # waiting for the end of a thread
        ("futex", (1, 256 | 9, 7), True),
        ("futex", (1, 1, 1), False),  # WAKE, and the others that could reach another job
        ("futex", (1, 3, 1), False),
        ("futex", (1, 4, 1), False),
        ("futex", (1, 5, 1), False),
        ("futex", (1, 10, 1), False),
        ("futex", (1, 256 | 11, 1), False),
        ("futex", (1, 12, 1), False),
        ("prlimit64", (0, 7, 0, 1), True),
        ("prlimit64", (0, 7, 1, 0), False),
        ("prlimit64", (0, 7, 1 << 32, 0), False),  # a pointer whose lower half is null
    ],
)
def test_arguments_decide(ask, call, arguments, allowed):
    assert ask(call, *arguments) == (ALLOW if allowed else refused(errno.EPERM))


def test_metadata_calls_say_done_and_clone3_is_unknown(ask):
    assert ask("fchmod") == ask("utimensat") == refused(0)
    assert ask("clone3") == refused(errno.ENOSYS)


@pytest.mark.parametrize("abi", [3, 4, 5, 6, 7])
def test_an_older_landlock_confines_files_too(tmp_path, monkeypatch, abi):
    if landlock.abi() < abi:
        abi = landlock.abi()
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "work").mkdir()
    monkeypatch.setattr(landlock, "abi", lambda: abi)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            policy.apply(policy.Policy(write=(str(tmp_path / "work"),)))
            (tmp_path / "work" / "mine").write_text("mine")
            (tmp_path / "work" / "mine").unlink()
            try:
                (tmp_path / "secret").read_text()
            except PermissionError:
                code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_an_abi_below_three_is_refused(monkeypatch):
    monkeypatch.setattr(landlock, "abi", lambda: 2)
    with pytest.raises(OSError, match="at least 3"):
        landlock.restrict(["/usr"])


def test_homes_and_projects_are_no_libraries():
    paths = policy.library_paths()
    assert not {"/", "/home", "/root", "/etc", "/tmp", "/usr", str(Path.cwd()), str(Path.home())} & set(paths)
    assert any(p.endswith("site-packages") for p in paths)


def test_layers_are_told_in_words():
    told = layers(namespaces=False, left_out=frozenset({"seccomp"}))
    assert told["seccomp"] == "left out" and told["namespaces"].startswith("missing")
    assert set(confine.REQUIRED) <= set(told)


def test_an_unknown_processor_is_named(monkeypatch):
    monkeypatch.setattr(kernel, "ARCH", "riscv64")
    assert any("riscv64" in problem for problem in confine.missing())
