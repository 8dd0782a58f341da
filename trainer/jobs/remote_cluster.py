"""Workers of a cluster that somebody else runs: connected over TLS, compared with this machine."""

from __future__ import annotations

import ipaddress
import json
import platform
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from distributed import Client
from distributed.security import Security

from trainer.config import TrainConfig
from trainer.errors import TrainerError, UsageError
from trainer.jobs.workers import Workers
from trainer.procedure.fit_key import code_digest

_CONNECT_SECONDS = 30
#: Rooms whose code makes a model.
_ROOMS = ("features", "adapters", "trainer")


class RemoteWorkers(Workers):
    """The workers of a scheduler that runs already; they stay alive when the command ends.

    Parameters
    ----------
    config : TrainConfig
        ``scheduler`` or ``scheduler_file``, and the files of the certificates.
    """

    def __init__(self, config: TrainConfig) -> None:
        super().__init__()
        self._address = _address(config)
        self._security = _security(config, self._address)
        self._timeout = config.worker_timeout

    def _connect_in(self, opening: ExitStack) -> None:
        self.client = self._connect()
        # Of the client that there is at the end, after a `reconnect`.
        opening.callback(lambda: self.client.close())
        self._check_scheduler()

    def reconnect(self) -> None:
        """Connect again to a scheduler that was lost, and wait until it is there.

        Raises
        ------
        TrainerError
            If it does not come back in time, or has other versions now.
        """
        with suppress(Exception):
            self.client.close()
        deadline = time.monotonic() + self._timeout
        while True:
            try:
                self.client = self._connect()
                break
            except TrainerError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(1)
        self._check_scheduler()

    def admit(self, addresses: Sequence[str]) -> list[str]:
        """Return the workers that may have tasks; one that is gone already is left out.

        Raises
        ------
        TrainerError
            If one has other versions than this machine, or no barwright.
        """
        found = self.client.run(environment_of, workers=list(addresses), on_error="return")
        admitted = []
        for address, answer in found.items():
            if isinstance(answer, OSError):
                continue
            self._check(answer, f"the worker {address}")
            admitted.append(address)
        return admitted

    def _check_scheduler(self) -> None:
        try:
            answer = self.client.run_on_scheduler(environment_of)
        except ImportError as error:
            answer = error
        self._check(answer, "the scheduler")

    def _connect(self) -> Client:
        try:
            return Client(
                self._address,
                security=self._security,
                timeout=min(_CONNECT_SECONDS, self._timeout),
                set_as_default=False,
            )
        except (OSError, TimeoutError, ValueError) as error:
            raise TrainerError(
                f"the scheduler {self._address} cannot be reached: {error}; start it, or check "
                "--scheduler, its port and the certificates"
            ) from error

    @staticmethod
    def _check(found: Mapping[str, str] | Exception, whose: str) -> None:
        if isinstance(found, Exception):
            raise TrainerError(
                f"{whose} cannot run barwright ({type(found).__name__}: {found}); install it "
                "there, with the same constraints.txt as here"
            )
        own = environment_of()
        differences = [
            f"{name} {found.get(name, 'missing')} there, {own.get(name, 'missing')} here"
            for name in sorted({*own, *found})
            if own.get(name) != found.get(name)
        ]
        if differences:
            more = f" and {len(differences) - 4} more" if len(differences) > 4 else ""
            raise TrainerError(
                f"{whose} differs from this machine: {'; '.join(differences[:4])}{more}; install "
                "the same version of barwright with the same constraints.txt on both"
            )


def environment_of() -> dict[str, str]:
    """Return what must be equal on all machines: Python, our code, the versions of libraries."""
    found = {"python": platform.python_version(), "code of barwright": code_digest(_ROOMS)[:12]}
    for name in _distributions():
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _distributions() -> list[str]:
    """Return the distributions that barwright names, those of its models included."""
    try:
        named = requires("barwright") or []
    except PackageNotFoundError:
        return []
    core = [text for text in named if "extra ==" not in text or '"deep"' in text]
    return sorted(re.split(r"[^A-Za-z0-9._-]", text, maxsplit=1)[0] for text in core)


def _address(config: TrainConfig) -> str:
    if not config.scheduler_file:
        return config.scheduler
    if config.scheduler:
        raise UsageError("give either `--scheduler` or `--scheduler-file`, not both")
    try:
        content = json.loads(Path(config.scheduler_file).read_text())
        return str(content["address"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainerError(
            f"`--scheduler-file` must be a file that `dask scheduler --scheduler-file` wrote, got "
            f"{config.scheduler_file!r} ({type(error).__name__}); check the path, and that the "
            "scheduler runs"
        ) from error


def _security(config: TrainConfig, address: str) -> Security:
    protocol, found, rest = address.partition("://")
    port = rest.rpartition(":")[2]
    if not found or protocol not in ("tls", "tcp") or ":" not in rest or not port.isdecimal():
        named = "the address in `--scheduler-file`" if config.scheduler_file else "`--scheduler`"
        raise UsageError(
            f"{named} must be tls://host:port, got {address!r}; `dask scheduler` prints its address"
        )
    if protocol == "tcp":
        if not config.insecure_scheduler and not _is_loopback(rest.rpartition(":")[0]):
            raise TrainerError(
                f"`--scheduler` {address} has no TLS: whoever reaches it can run code on its "
                "machines; use tls:// with certificates, or pass --insecure-scheduler on"
            )
        return Security(require_encryption=False)
    files = {
        "--tls-ca-file": config.tls_ca_file,
        "--tls-cert": config.tls_cert,
        "--tls-key": config.tls_key,
    }
    for option, name in files.items():
        if not name or not Path(name).is_file():
            got = f", got {name!r}" if name else ""
            raise TrainerError(
                f"`{option}` must be a PEM file for a tls:// scheduler{got}; give "
                f"{', '.join(files)}"
            )
    return Security(
        require_encryption=True,
        tls_ca_file=config.tls_ca_file,
        tls_client_cert=config.tls_cert,
        tls_client_key=config.tls_key,
    )


def _is_loopback(host: str) -> bool:
    host = host.strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
