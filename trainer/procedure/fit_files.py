"""Files of a fit cache: what their names say, and which of them are removed first."""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from trainer.procedure.fit_key import FORMAT_VERSION, code_digest
from trainer.procedure.fit_place import KeptFile

Kind = Literal["fit", "older", "unfinished"]

#: Seconds after which a temporary file is that of a killed writer.
_UNFINISHED_SECONDS = 3_600

# No other file is ever read or removed. Earlier formats had two files for each fit.
_FIT = r"(?P<job>[^.].*)_(?P<code>[0-9a-f]{8})_(?P<key>[0-9a-f]{32})\.fit"
_OLDER = r"(?P<job>[^.].*)_[0-9a-f]{32}\.(bin|json)"
_UNFINISHED = rf"\.({_FIT}|{_OLDER.replace('<job>', '<older_job>')})\.[0-9a-f]{{32}}"


@dataclass(frozen=True)
class FitFile(KeptFile):
    """A file of a fit cache.

    Attributes
    ----------
    kind : {"fit", "older", "unfinished"}
        A fit of this format, of an earlier one, or what a killed writer left.
    job : str
        Name of the job for which it was made, as lightgbm-EURUSD.
    code : str
        Code that made it; empty if the name does not say it.
    key : str
        First 32 digits of its key; empty if it is no fit of this format.
    """

    kind: Kind
    job: str = ""
    code: str = ""
    key: str = ""

    @classmethod
    def of(cls, file: KeptFile) -> FitFile | None:
        """Return the file with what its name says; None if it is no file of a fit cache."""
        kinds: dict[Kind, str] = {"fit": _FIT, "older": _OLDER, "unfinished": _UNFINISHED}
        for kind, pattern in kinds.items():
            if found := re.fullmatch(pattern, file.name):
                parts = found.groupdict()
                known = {
                    name: parts[name] or "" for name in ("job", "code", "key") if name in parts
                }
                return cls(file.name, file.size, file.used, kind, **known)
        return None

    @property
    def is_current(self) -> bool:
        """Whether this version of the code may read it."""
        return self.kind == "fit" and self.code == _code()


def fit_name(job: str, key: str) -> str:
    """Return the name of the file of a fit.

    Parameters
    ----------
    job : str
        Name of the job.
    key : str
        As `trainer.procedure.fit_key.fit_key` returns it.
    """
    return f"{job}_{_code()}_{key[:32]}.fit"


@functools.cache
def _code() -> str:
    """Return 8 digits for the format and the code of our adapters, which are parts of every key.

    Not for the environment, which is one, too: machines that share a cache may have different
    processors, and none of them should take the fits of the others for old ones.
    """
    text = f"{FORMAT_VERSION}|{code_digest(('adapters',))}"
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def surplus(
    files: Iterable[FitFile],
    *,
    now: float,
    older_than: float | None = None,
    max_size: int | None = None,
) -> list[FitFile]:
    """Return the files to be removed, those first that no command reads, then by their last use.

    Parameters
    ----------
    files : iterable of FitFile
    now : float
        Seconds since 1970.
    older_than : float, optional
        Seconds; files that were not used for a longer time are removed.
    max_size : int, optional
        Bytes that may be left.

    Returns
    -------
    list of FitFile
        What a killed writer left is always among them.

    Examples
    --------
    >>> old, new = (FitFile(f"{t}", 10, t, "fit", code=_code()) for t in (1.0, 2.0))
    >>> other = FitFile("other", 10, 3.0, "fit", code="another")
    >>> [file.name for file in surplus([old, new, other], now=4.0, max_size=10)]
    ['other', '1.0']
    >>> [file.name for file in surplus([old, new, other], now=4.0, older_than=2.5)]
    ['1.0']
    """
    removed, kept = [], []
    for file in sorted(files, key=lambda file: (file.is_current, file.used)):
        if file.kind == "unfinished":
            if now - file.used > _UNFINISHED_SECONDS:
                removed.append(file)
        elif older_than is not None and now - file.used > older_than:
            removed.append(file)
        else:
            kept.append(file)
    left = sum(file.size for file in kept)
    for file in kept:
        if max_size is None or left <= max_size:
            break
        left -= file.size
        removed.append(file)
    return removed
