"""Attacks that need a second party while they last: a client, a second job, a clock."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from automlgpt_local.sandbox.jobs import Limits
from tests.security.world import World

LISTEN = """
def listen():
    server = socket.socket()
    server.bind(("127.0.0.1", W["free_port"]))
    server.listen(4)
    server.settimeout(2)
    return bool(server.accept())
return {"w": attempt(listen)}
"""


def _somebody_answers(port: int, job_ended: threading.Event) -> bool:
    while not job_ended.is_set():
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
            return True
        except OSError:
            time.sleep(0.02)
    return False


def _listen(sandbox, world: World, without: frozenset[str]) -> bool:
    job_ended = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        client = pool.submit(_somebody_answers, world.free_port, job_ended)
        try:
            assert sandbox.attack(world, LISTEN, Limits(wall_s=10), without).status == "ok"
        finally:
            job_ended.set()
        return client.result()


@pytest.mark.row(18)
def test_nobody_can_connect_to_a_job(sandbox, world: World):
    assert not _listen(sandbox, world, frozenset())


@pytest.mark.row(18)
def test_control_a_client_connects_without_the_layers(weakened, world: World):
    assert _listen(weakened, world, frozenset({"landlock", "seccomp"}))


@pytest.mark.row(20)
def test_a_look_up_of_a_name_fails_within_a_second(sandbox, world: World):
    code = """
    began = time.monotonic()
    answer = attempt(lambda: str(socket.getaddrinfo("example.com", 80)))
    return {"answer": answer, "seconds": time.monotonic() - began}
    """
    outcome = sandbox.attack(world, code, Limits(wall_s=10))
    assert "gaierror" in outcome.result["params"]["answer"]
    assert outcome.result["params"]["seconds"] < 1


VICTIM = """
secret = ctypes.create_string_buffer(W["secret"].encode())
write("address", f"{os.getpid()} {ctypes.addressof(secret)}")
time.sleep(1.2)
return {"survived": True}
"""
SPY = """
pid, address = TARGET
def read_memory():
    with open(f"/proc/{pid}/mem", "rb", 0) as file:
        file.seek(address)
        return file.read(18).decode()
got = [attempt(lambda: read(f"/proc/{pid}/status")[:40]), attempt(read_memory)]
return {"got": got, "kill": attempt(lambda: os.kill(pid, signal.SIGKILL))}
"""


def _two_jobs(sandbox, tmp_path, without: frozenset[str]):
    victim_world, spy_world = World(tmp_path / "a"), World(tmp_path / "b")
    try:
        with ThreadPoolExecutor(2) as pool:
            victim = pool.submit(sandbox.attack, victim_world, VICTIM, Limits(wall_s=10), without)
            told, deadline = "", time.monotonic() + 5
            while not told and time.monotonic() < deadline:
                threading.Event().wait(0.01)
                # the work folder has another name while the job runs
                told = "".join(note.read_text() for note in victim_world.work.parent.glob(".*/address"))
            assert not victim.done(), "the spy comes while its victim is there"
            pid, address = map(int, told.split())
            code = SPY.replace("TARGET", f"({pid}, {address})")
            spy = pool.submit(sandbox.attack, spy_world, code, Limits(wall_s=10), without)
            return victim.result(), spy.result()
    finally:
        victim_world.close()
        spy_world.close()


@pytest.mark.row(26)
def test_two_jobs_at_once_cannot_touch_each_other(sandbox, tmp_path):
    victim, spy = _two_jobs(sandbox, tmp_path, frozenset())
    assert victim.result == {"params": {"survived": True}}, victim
    assert "planted" not in str(spy.result) and "Name" not in str(spy.result)


@pytest.mark.row(26)
def test_control_two_jobs_reach_each_other_without_the_layers(weakened, tmp_path):
    victim, _spy = _two_jobs(weakened, tmp_path, frozenset({"landlock", "seccomp"}))
    assert victim.status == "killed", victim
