"""Wild input: the result reader, the text cleaner and the call filter. AUTOMLGPT_FUZZ_S gives the seconds of each."""

from __future__ import annotations

import ast
import ctypes
import json
import os
import random
import time
import unicodedata
from io import BytesIO

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from automlgpt_local.confine import calls, kernel, policy, seccomp
from automlgpt_local.sandbox import results
from automlgpt_local.sandbox.text import inert

# uretprobe and uprobe: kernels from 6.14 on never show them to a filter, and end (SIGILL) who calls them by hand.
UNFILTERED = {335, 336}
FUZZ_S = float(os.environ.get("AUTOMLGPT_FUZZ_S", "2"))


def for_seconds(test):
    """Repeat a hypothesis test with fresh seeds until its seconds are over; 50 examples at least."""

    def repeated(*args, **kwargs):
        end, rounds = time.monotonic() + FUZZ_S, 0
        while rounds == 0 or time.monotonic() < end:
            test(*args, **kwargs)
            rounds += 1

    repeated.__name__ = test.__name__
    return repeated


quick = settings(max_examples=50, deadline=None, database=None, suppress_health_check=list(HealthCheck))


def _npy(dtype: str, shape: tuple[int, ...]) -> bytes:
    file = BytesIO()
    np.save(file, np.zeros(shape, dtype=dtype))
    return file.getvalue()


@st.composite
def broken_arrays(draw):
    raw = bytearray(
        _npy(
            draw(st.sampled_from(["f8", "i4", "?", "S3", "m8[s]", "c16"])), draw(st.sampled_from([(3,), (2, 2), (0,)]))
        )
    )
    for _ in range(draw(st.integers(0, 6))):
        place = draw(st.integers(0, len(raw) - 1))
        raw[place : place + draw(st.integers(0, 3))] = draw(st.binary(max_size=4))
        if not raw:
            break
    return bytes(raw)


@for_seconds
@quick
@given(st.one_of(broken_arrays(), st.binary(max_size=300)))
def test_an_array_is_plain_numbers_or_refused(raw):
    try:
        values = results.parse_array(raw)
    except results.BadResultError:
        return
    assert values.dtype.kind in "biuf" and values.ndim <= 2 and values.nbytes <= len(raw)


headers = st.fixed_dictionaries({
    "descr": st.one_of(st.sampled_from(["<f8", "|O", "O", "<f8,<i4", "|V8", "<U9", ">f8"]), st.text(max_size=8)),
    "fortran_order": st.one_of(st.booleans(), st.integers()),
    "shape": st.one_of(st.lists(st.integers(-(2**70), 2**70), max_size=4).map(tuple), st.text(max_size=3)),
})  # fmt: skip


@for_seconds
@quick
@given(headers, st.binary(max_size=64))
def test_a_lying_header_is_refused_or_true(header, body):
    text = repr(header).encode("utf-8", errors="replace")
    raw = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + body
    try:
        values = results.parse_array(raw)
    except results.BadResultError:
        return
    assert values.nbytes == len(body) and not values.dtype.hasobject


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


@for_seconds
@quick
@given(st.one_of(st.binary(max_size=200), json_like.map(lambda v: json.dumps(v).encode())))
def test_a_result_is_an_object_or_refused(raw):
    try:
        value = results.parse_json(raw)
    except results.BadResultError:
        return
    assert isinstance(value, dict)


@for_seconds
@quick
@given(st.text(st.one_of(st.characters(), st.sampled_from("\x1b\x9b\x9d\x07[]\\m;0PX^_\u202e\u2066\r\n")), max_size=60))
def test_inert_text_has_no_control_character_left(text):
    clean = inert(text)
    assert all(c in "\n\t" or unicodedata.category(c) not in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"} for c in clean)
    assert inert(clean) == clean


@pytest.mark.skipif(kernel.ARCH != "x86_64", reason="numbers of x86-64")
def test_no_call_outside_the_list_is_made(tmp_path):
    """Random calls with random arguments in a confined fork: what is not allowed answers EPERM or ENOSYS, always."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(reading)
            os.chdir(tmp_path)
            policy.apply(policy.Policy(write=(str(tmp_path),), cpu_s=FUZZ_S + 60))
            os.write(writing, repr(_fuzz_calls(random.Random(os.urandom(8)))).encode()[:4000])
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    said = os.read(reading, 5000)
    os.close(reading)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert ast.literal_eval(said.decode()) == []


def _fuzz_calls(draw: random.Random) -> list[tuple[int, int, int]]:
    """(number, result, errno) of calls that should have been refused and were not."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    listed = {pair[0] for table in (calls.ALLOWED, calls.IGNORED, calls.JUDGED) for pair in table.values()}
    refused = [n for n in range(600) if n not in listed | UNFILTERED]
    judged = {"ioctl": 16, "fcntl": 72, "prctl": 157, "prlimit64": 302, "kill": 62}
    interesting = [0, 1, -1, 2**31 - 1, -(2**31), 2**63 - 1, os.getppid(), os.getpid()]
    end, holes = time.monotonic() + FUZZ_S, []
    while time.monotonic() < end:
        for _ in range(200):
            number = draw.choice(refused)
            arguments = [
                ctypes.c_long(draw.choice(interesting) if draw.random() < 0.6 else draw.getrandbits(40))
                for _ in range(6)
            ]
            result = libc.syscall(ctypes.c_long(number), *arguments)
            code = ctypes.get_errno()
            if result != -1 or code not in (1, 38):
                holes.append((number, result, code))
        for name, value in ((n, draw.getrandbits(32)) for n in ("ioctl", "fcntl", "prctl")):
            allowed = {"ioctl": seccomp._IOCTLS, "fcntl": seccomp._FCNTLS, "prctl": seccomp._PRCTLS}[name]
            if value in allowed:
                continue
            place = 0 if name == "prctl" else 1
            arguments = [ctypes.c_long(0), ctypes.c_long(0)]
            arguments[place] = ctypes.c_long(value)
            if libc.syscall(ctypes.c_long(judged[name]), *arguments) != -1 or ctypes.get_errno() != 1:
                holes.append((judged[name], value, ctypes.get_errno()))
        other = draw.randrange(2, 1 << 22)
        if other != os.getpid() and libc.syscall(ctypes.c_long(62), ctypes.c_long(other), ctypes.c_long(0)) != -1:
            holes.append((62, other, 0))
    return holes[:50]
