"""Identities of processes: a later process with the same id has another one."""

from __future__ import annotations

import os
import subprocess
import sys

from trainer.processes import is_alive, process_identity


def test_the_identity_of_a_living_process_is_alive() -> None:
    own = process_identity(os.getpid())
    assert own.startswith(f"{os.getpid()}:")
    assert is_alive(own)
    assert process_identity(os.getpid()) == own


def test_a_later_process_with_the_same_id_is_another_process() -> None:
    own = process_identity(os.getpid())
    assert not is_alive(own.partition(":")[0] + ":1.00")


def test_an_ended_process_is_not_alive() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    identity = process_identity(process.pid)
    assert is_alive(identity)
    process.communicate(b"\n")
    assert not is_alive(identity)


def test_a_text_that_is_no_identity_is_not_alive() -> None:
    assert not is_alive("nobody")
    assert not is_alive("")
