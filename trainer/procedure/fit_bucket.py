"""A prefix of an S3 bucket that holds the files of a fit cache."""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, TypeVar

from trainer.errors import error_text
from trainer.procedure.fit_place import KeptFile, PlaceError

T = TypeVar("T")

#: Requests at a time.
_CONNECTIONS = 16
#: Seconds for a connection, and for an answer; a request that does not get one is sent once more.
_CONNECT_SECONDS, _ANSWER_SECONDS = 3, 5
#: Seconds for several requests together, and in addition for each of them. The limits above do not
#: end an upload that the store never accepts, nor a store that sends a byte now and then.
_SECONDS, _SECONDS_EACH = 10, 1
#: Seconds for all pages of a listing, of a thousand files each.
_LISTING_SECONDS = 600


class FitBucket:
    """A prefix of a bucket. Keys and endpoint come from the environment, never from options.

    Parameters
    ----------
    address : str
        ``s3://bucket/prefix``; the prefix may be empty.
    """

    limit: int | None = None

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")
        self._bucket, _, prefix = self.address.removeprefix("s3://").partition("/")
        self._prefix = f"{prefix}/" if prefix else ""

    def check(self) -> None:
        """List one file, which needs the right endpoint, keys and bucket."""
        self._wait(lambda: self._page(MaxKeys=1), _SECONDS)

    def read(self, names: Collection[str]) -> dict[str, bytes]:
        """Return the contents of the files that there are, by name."""

        async def content(name: str) -> bytes | None:
            try:
                return bytes(await self._store._cat_file(self._path(name)))
            except FileNotFoundError:
                return None

        contents = self._each(names, content)
        return {name: content for name, content in contents.items() if content is not None}

    def write(self, contents: Mapping[str, bytes]) -> None:
        """Write files by name; each replaces the one of its name."""
        self._each(contents, lambda name: self._store._pipe_file(self._path(name), contents[name]))

    def touch(self, names: Collection[str]) -> None:
        """Do nothing: a store has no time of the last use."""

    def files(self) -> list[KeptFile]:
        """Return all files under the prefix."""

        async def pages() -> list[KeptFile]:
            found: list[KeptFile] = []
            more: dict[str, str] = {}
            while True:
                page = await self._page(Delimiter="/", **more)
                for item in page.get("Contents", []):
                    name = item["Key"].removeprefix(self._prefix)
                    found.append(KeptFile(name, item["Size"], item["LastModified"].timestamp()))
                if not page.get("IsTruncated"):
                    return found
                more = {"ContinuationToken": page["NextContinuationToken"]}

        return self._wait(pages, _LISTING_SECONDS)

    def remove(self, names: Collection[str]) -> None:
        """Remove files."""
        self._each(names, lambda name: self._store._rm_file(self._path(name)))

    def _path(self, name: str) -> str:
        return f"{self._bucket}/{self._prefix}{name}"

    async def _page(self, **how: Any) -> dict[str, Any]:
        """Return one page of the listing."""
        where = {"Bucket": self._bucket, "Prefix": self._prefix}
        page: dict[str, Any] = await self._store._call_s3("list_objects_v2", **where, **how)
        return page

    @functools.cached_property
    def _store(self) -> Any:
        try:
            from s3fs import S3FileSystem
        except ImportError as error:
            raise PlaceError(
                f"the fit cache {self.address!r} needs s3fs, which cannot be imported ({error}); "
                'pip install "barwright[s3]"'
            ) from error
        store = S3FileSystem(
            use_listings_cache=False,
            skip_instance_cache=True,
            max_concurrency=1,  # or the size of each file is asked for before it is read
            config_kwargs={
                "connect_timeout": _CONNECT_SECONDS,
                "read_timeout": _ANSWER_SECONDS,
                "retries": {"total_max_attempts": 2, "mode": "standard"},
                "max_pool_connections": _CONNECTIONS,
            },
        )
        store.retries = 1  # in addition to those of botocore
        return store

    def _each(self, names: Collection[str], call: Callable[[str], Awaitable[T]]) -> dict[str, T]:
        """Await a call for each file, some at a time; the first error cancels the others."""

        async def together() -> dict[str, T]:
            results: dict[str, T] = {}
            free = asyncio.Semaphore(_CONNECTIONS)

            async def one(name: str) -> None:
                async with free:
                    results[name] = await call(name)

            async with asyncio.TaskGroup() as group:
                for name in names:
                    group.create_task(one(name))
            return results

        return self._wait(together, _SECONDS + _SECONDS_EACH * len(names))

    def _wait(self, call: Callable[[], Awaitable[T]], seconds: float) -> T:
        """Run a call in the thread of the store's library and return its result.

        Raises
        ------
        PlaceError
            If the store does not do it in time.
        """
        loop = self._store.loop
        from fsspec.asyn import sync

        try:
            result: T = sync(loop, call, timeout=seconds)
        # The libraries below raise errors of many kinds.
        except Exception as error:
            while isinstance(error, ExceptionGroup):
                error = error.exceptions[0]
            raise PlaceError(
                f"the fit cache {self.address!r} cannot be used: {self._reason(error)}"
            ) from error
        return result

    def _reason(self, error: Exception) -> str:
        """Return why a request failed, and what to do."""
        from botocore import exceptions

        response = getattr(error.__cause__ or error, "response", None) or {}
        code = response.get("Error", {}).get("Code", "")
        if isinstance(error, exceptions.NoCredentialsError | exceptions.PartialCredentialsError):
            return "there are no keys; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        if isinstance(error, FileNotFoundError):
            return f"there is no bucket {self._bucket!r}; make it, or correct its name"
        if isinstance(error, PermissionError):
            return (
                f"the keys are refused ({code}); set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY "
                "of an account that may list, read and write there"
            )
        silent = (TimeoutError, exceptions.HTTPClientError, exceptions.ConnectionError)
        if isinstance(error, silent):
            variables = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
            given = [os.environ[name] for name in variables if os.environ.get(name)]
            return f"{[*given, 'AWS'][0]} does not answer; check AWS_ENDPOINT_URL"
        return error_text(error)
