"""The event log is the truth of a run: a kill at any moment, a torn line and a full disk lose nothing acknowledged."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from automlgpt_local.events import EventLog, Warned, read_events

ROUNDS = 50


def _write_for_ever(path: Path, answers: int) -> None:
    log = EventLog(path)
    while True:
        record = log.append(Warned("x" * 500), 0.0)
        os.write(answers, f"{record.seq}\n".encode())


@pytest.mark.row(54)
def test_no_acknowledged_event_is_lost_or_doubled_by_fifty_kills(tmp_path):
    path, draw, acknowledged = tmp_path / "events.jsonl", random.Random(0), 0
    for _ in range(ROUNDS):
        reading, writing = os.pipe()
        writer = os.fork()
        if writer == 0:
            _write_for_ever(path, writing)
        os.close(writing)
        answers = os.read(reading, 100)
        time.sleep(draw.uniform(0, 0.02))
        os.kill(writer, signal.SIGKILL)
        os.waitpid(writer, 0)
        while block := os.read(reading, 1 << 16):
            answers += block
        os.close(reading)
        whole = [int(line) for line in answers.split(b"\n")[:-1]]
        assert whole[0] > acknowledged
        acknowledged = whole[-1]
        log = EventLog(path)
        log.close()
        assert len(log.records) >= acknowledged
    assert [r.seq for r in read_events(path)] == list(range(1, len(log.records) + 1))


@pytest.mark.row(54)
def test_control_a_buffered_log_loses_what_it_acknowledged(tmp_path):
    write = f"f = open({str(tmp_path / 'log')!r}, 'w'); f.write('event 1'); print('kept', flush=True)"
    script = f"import os; {write}; os.kill(os.getpid(), 9)"
    said = subprocess.run([sys.executable, "-S", "-c", script], capture_output=True, check=False).stdout
    assert said == b"kept\n" and (tmp_path / "log").read_text() == ""


@pytest.mark.row(55)
@pytest.mark.parametrize("torn", [b'{"v": 1, "seq": 2, "ty', b"\xff\x00", b'{"v": 1}'])
def test_a_torn_last_line_is_repaired(tmp_path, torn):
    path = tmp_path / "events.jsonl"
    log = EventLog(path)
    log.append(Warned("first"), 1.0)
    log.close()
    with open(path, "ab") as file:
        file.write(torn)
    again = EventLog(path)
    assert again.append(Warned("second"), 2.0).seq == 2
    again.close()
    assert [r.event.message for r in read_events(path)] == ["first", "second"]


@pytest.mark.row(55)
def test_a_full_disk_stops_clearly_and_the_log_can_be_opened_again(tmp_path):
    path = tmp_path / "events.jsonl"
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        log, code = EventLog(path), 1
        try:
            for _ in range(100):
                log.append(Warned("x" * 200), 0.0)
        except OSError:
            code = 0
        os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    log = EventLog(path)
    written = len(log.records)
    assert written > 5
    assert log.append(Warned("after"), 0.0).seq == written + 1
    log.close()
    assert len(list(read_events(path))) == written + 1


@pytest.mark.row(55)
def test_control_an_unrepaired_log_swallows_the_next_event(tmp_path):
    import json

    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"seq": 1}\n{"seq": 2, "ty')
    with open(path, "ab") as file:
        file.write(b'{"seq": 3}\n')
    with pytest.raises(ValueError):
        [json.loads(line) for line in path.read_text().splitlines()]
