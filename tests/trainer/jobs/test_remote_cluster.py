"""Which schedulers are accepted, and which differences are found; tests/service/test_cluster.py
connects to a real one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask
import pytest
from distributed import LocalCluster

from trainer.config import TrainConfig
from trainer.errors import TrainerError
from trainer.jobs import remote_cluster
from trainer.jobs.remote_cluster import RemoteWorkers, environment_of


def workers(**options: Any) -> RemoteWorkers:
    return RemoteWorkers(TrainConfig.parse({"symbols": "A", "source": "sample", **options}))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"scheduler": "tcp://10.0.0.7:8786"}, "tcp://10.0.0.7:8786 has no TLS: whoever reaches"),
        ({"scheduler": "tcp://cluster:8786"}, "use tls:// with certificates, or pass --insecure"),
        ({"scheduler": "10.0.0.7:8786"}, "must be tls://host:port, got '10.0.0.7:8786'"),
        ({"scheduler": "tls://10.0.0.7"}, "must be tls://host:port, got 'tls://10.0.0.7'"),
        ({"scheduler": "http://10.0.0.7:80"}, "must be tls://host:port"),
        ({"scheduler": "tls://10.0.0.7:abc"}, "must be tls://host:port, got 'tls://10.0.0.7:abc'"),
        (
            {"scheduler": "tls://h:8786"},
            "`--tls-ca-file` must be a PEM file for .*; give --tls-ca-f",
        ),
        ({"scheduler": "tls://h:1", "scheduler_file": "f"}, "give either `--scheduler` or"),
        ({"scheduler_file": "nowhere.json"}, r"got 'nowhere.json' \(FileNotFoundError\); check"),
    ],
)
def test_a_scheduler_that_cannot_be_used_is_refused(options: dict[str, str], text: str) -> None:
    with pytest.raises(TrainerError, match=text):
        workers(**options)


@pytest.mark.parametrize("content", ["", "[]", "{}", "null"])
def test_a_file_that_is_none_of_a_scheduler_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text(content)
    with pytest.raises(TrainerError, match="must be a file that `dask scheduler"):
        workers(scheduler_file=str(tmp_path / "s.json"))


@pytest.mark.parametrize(
    ("address", "insecure"),
    [("tcp://127.0.0.1:9", "off"), ("tcp://localhost:9", "off"), ("tcp://[::1]:9", "off"),
     ("tcp://10.0.0.7:9", "on")],
)  # fmt: skip
def test_plain_connections_are_for_this_machine_or_on_request(address: str, insecure: str) -> None:
    assert not workers(scheduler=address, insecure_scheduler=insecure)._security.require_encryption


def test_a_missing_certificate_is_named(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").touch()
    with pytest.raises(TrainerError, match="`--tls-cert` must be a PEM file"):
        workers(scheduler="tls://h:1", tls_ca_file=str(tmp_path / "ca.pem"))


def test_a_scheduler_that_does_not_answer_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_cluster, "_CONNECT_SECONDS", 1)
    with pytest.raises(TrainerError, match=r"tcp://127.0.0.1:9 cannot be reached: .*; start it"):
        workers(scheduler="tcp://127.0.0.1:9").__enter__()


def test_the_environment_names_what_makes_a_model() -> None:
    own = environment_of()
    assert {"python", "code of barwright", "numpy", "pandas", "lightgbm", "torch"} <= set(own)
    assert "pytest" not in own
    RemoteWorkers._check(own, "the scheduler")
    other = {**own, "numpy": "1.0", "code of barwright": "0"}
    del other["torch"]
    with pytest.raises(TrainerError) as caught:
        RemoteWorkers._check(other, "the worker tls://h:1")
    text = str(caught.value)
    assert text.startswith("the worker tls://h:1 differs from this machine: code of barwright 0 ")
    assert "numpy 1.0 there, " in text
    assert "torch missing there, " in text
    assert text.endswith(
        "install the same version of barwright with the same constraints.txt on both"
    )


def test_a_machine_without_barwright_is_named() -> None:
    text = r"the worker tls://h:1 cannot run barwright \(ModuleNotFoundError: No module named"
    with pytest.raises(TrainerError, match=text):
        RemoteWorkers._check(
            ModuleNotFoundError("No module named 'trainer'"), "the worker tls://h:1"
        )


def test_a_worker_that_is_gone_already_gets_no_task() -> None:
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
        LocalCluster(n_workers=1, processes=False, protocol="tcp", dashboard_address=None) as made,
        workers(scheduler=made.scheduler_address) as found,
    ):
        (alive,) = found.client.scheduler_info()["workers"]
        assert found.admit([alive]) == [alive]
        assert found.admit([alive, "tcp://127.0.0.1:9"]) == [alive]
