"""What the workers of a command have in common, wherever they are."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from distributed import Client


class Workers:
    """Workers with the connection to their scheduler; a context that closes it.

    Attributes
    ----------
    client : distributed.Client
        The connection, while the context is open.
    """

    client: Client

    def __init__(self) -> None:
        self._open = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as opening:
            self._connect_in(opening)
            self._open = opening.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.close()

    def _connect_in(self, opening: ExitStack) -> None:
        """Set `client`, and add to `opening` what ends the connection."""
        raise NotImplementedError

    def reconnect(self) -> None:
        """Connect again to a scheduler that was lost.

        Raises
        ------
        TrainerError
            If it does not come back.
        """
        raise NotImplementedError

    @property
    def all_lost(self) -> str:
        """Why there will be no worker; empty as long as somebody may start one."""
        return ""

    def start(self) -> None:
        """Start the workers that do not run yet, without waiting for them."""

    def admit(self, addresses: Sequence[str]) -> list[str]:
        """Return which of these new workers may have tasks.

        Raises
        ------
        TrainerError
            If one cannot be used.
        """
        return list(addresses)

    def kill(self) -> None:
        """End the workers that end with the command, without waiting for their tasks."""
