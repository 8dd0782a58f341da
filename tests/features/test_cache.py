from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from features import cache as cache_module
from features.bars import Bars
from features.cache import CacheKey, CacheMismatchError, FeatureCache
from features.calendars import CalendarSpec
from features.catalogue import BUILT_IN, FeatureKind
from features.errors import InputError
from features.feature_set import FeatureSet, Matrix
from features.interval import Interval

HOUR = Interval.parse("1h")
ROOT = Path(cache_module.__file__).parents[1]


def _set(**options: object) -> FeatureSet:
    return FeatureSet.build(**{"interval": HOUR, "kinds": BUILT_IN, **options})  # type: ignore[arg-type]


@dataclass
class Counting:
    """The real computation, which counts its calls."""

    features: FeatureSet
    bars: Bars
    calls: int = 0

    def __call__(self) -> Matrix:
        self.calls += 1
        return self.features.compute(self.bars)


@dataclass
class Entry:
    cache: FeatureCache
    bars: Bars
    features: FeatureSet
    matrix: Matrix

    @property
    def data(self) -> Path:
        return self.cache.data_path(CacheKey.of(self.bars, self.features.signature))

    @property
    def metadata(self) -> Path:
        return self.cache.metadata_path(CacheKey.of(self.bars, self.features.signature))

    def fetch(self) -> tuple[str, int]:
        """Fetch once more; the values must be equal in any case."""
        counting = Counting(self.features, self.bars)
        matrix, origin = self.cache.fetch(self.bars, self.features.signature, counting)
        _assert_same_bits(matrix, self.matrix)
        return origin, counting.calls

    def files(self) -> set[str]:
        return {path.name for path in self.cache.folder.iterdir()}


def _assert_same_bits(a: Matrix, b: Matrix) -> None:
    assert a.dtype == b.dtype == np.float32
    assert a.flags.f_contiguous
    np.testing.assert_array_equal(np.ascontiguousarray(a).view("u4"), b.copy("C").view("u4"))


@pytest.fixture
def entry(tmp_path: Path, synthetic_bars: Callable[..., Bars]) -> Entry:
    """A stored entry."""
    bars, features = synthetic_bars(300), _set(groups=["returns", "volume"])
    made = Entry(
        FeatureCache(tmp_path / "data" / "features"), bars, features, features.compute(bars)
    )
    assert made.fetch() == ("computed", 1)
    return made


def test_a_second_fetch_reads_the_entry(entry: Entry) -> None:
    before = entry.data.stat().st_mtime_ns
    assert entry.fetch() == ("read", 0)
    assert entry.fetch() == ("read", 0)
    assert entry.data.stat().st_mtime_ns == before
    assert entry.files() == {entry.data.name, entry.metadata.name}
    assert entry.data.name.startswith("SYNTH_1h_")


def test_the_files_have_the_permissions_of_other_new_files(entry: Entry) -> None:
    (entry.cache.folder / "plain").touch()
    plain = (entry.cache.folder / "plain").stat().st_mode
    assert entry.data.stat().st_mode == entry.metadata.stat().st_mode == plain


def test_special_values_are_read_bit_for_bit(entry: Entry) -> None:
    special = np.asfortranarray(entry.matrix)
    special[5:9, 2] = np.float32([np.inf, -np.inf, -0.0, 1e-42])
    cache = FeatureCache(entry.cache.folder / "special")
    for origin in ("computed", "read"):
        matrix, got = cache.fetch(entry.bars, entry.features.signature, lambda: special)
        assert got == origin
        _assert_same_bits(matrix, special)


def test_the_stored_file_is_compressed_and_has_metadata(entry: Entry) -> None:
    names = list(entry.features.names)
    file = pq.ParquetFile(entry.data)
    assert file.schema_arrow.names == ["timestamp", *names]
    assert file.metadata.row_group(0).column(1).compression == "LZ4"
    table = file.read()
    assert (table.column("timestamp").to_numpy().view("i8") == entry.bars.time_ns).all()
    metadata = json.loads(entry.metadata.read_text(), parse_constant=pytest.fail)
    assert metadata["feature_names"] == names
    assert set(metadata["dtypes"].values()) == {"float32"}
    column = entry.matrix[:, 3]
    assert metadata["null_counts"][names[3]] == np.isnan(column).sum() > 0
    assert metadata["min"][names[3]] == np.nanmin(column)
    assert metadata["max"][names[3]] == np.nanmax(column)
    assert metadata["rows"] == 300
    assert metadata["signature"] == entry.features.signature.to_json()


def test_metadata_of_a_column_without_any_number(entry: Entry) -> None:
    nothing = np.full_like(entry.matrix, np.nan)
    cache = FeatureCache(entry.cache.folder / "nothing")
    cache.fetch(entry.bars, entry.features.signature, lambda: nothing)
    metadata = json.loads(next(cache.folder.glob("*.json")).read_text())
    assert set(metadata["min"].values()) == {None}


# --- another key -----------------------------------------------------------------------------


def _price(bars: Bars, name: str) -> Bars:
    array = getattr(bars, name).copy()
    array[150] = np.nextafter(array[150], 0.0)
    return replace(bars, **{name: array})


@pytest.mark.parametrize("name", ["open", "high", "low", "close", "volume"])
def test_one_changed_price_is_computed_again(name: str, entry: Entry) -> None:
    bars = _price(entry.bars, name)
    other = Entry(entry.cache, bars, entry.features, entry.features.compute(bars))
    assert other.fetch() == ("computed", 1)
    assert other.fetch() == ("read", 0)
    assert entry.fetch() == ("read", 0)


@pytest.mark.parametrize(
    "change",
    [{"symbol": "OTHER"}, {"interval": Interval.parse("60m")}, {"spec": CalendarSpec("24/5")}],
    ids=str,
)
def test_other_bars_are_another_entry(change: dict, entry: Entry) -> None:
    if "symbol" not in change:
        change = {"schedule": replace(entry.bars.schedule, **change)}
    other = replace(entry, bars=replace(entry.bars, **change))
    assert other.fetch() == ("computed", 1)


def test_shorter_bars_are_another_entry(entry: Entry) -> None:
    bars = entry.bars.slice(0, 299)
    assert replace(entry, bars=bars, matrix=entry.matrix[:299]).fetch() == ("computed", 1)


def _twice(bars: object, window: int) -> np.ndarray:
    return np.full(len(bars), 2.0 * window)  # type: ignore[arg-type]


def _thrice(bars: object, window: int) -> np.ndarray:
    return np.full(len(bars), 3.0 * window)  # type: ignore[arg-type]


def _kind(
    function: Callable[..., np.ndarray] = _twice, window: int = 4, memory: int = 9
) -> FeatureKind:
    return FeatureKind("own", "own", function, lambda window: memory, ({"window": window},))


@pytest.mark.parametrize(
    "kind",
    [_kind(_thrice), _kind(window=5), _kind(memory=10), replace(_kind(), name="mine")],
    ids=["formula", "parameter", "memory", "name"],
)
def test_any_change_of_a_feature_is_computed_again(kind: FeatureKind, entry: Entry) -> None:
    base = _set(kinds=[_kind()])
    first = Entry(entry.cache, entry.bars, base, base.compute(entry.bars))
    assert first.fetch() == ("computed", 1)
    other = _set(kinds=[kind])
    second = Entry(entry.cache, entry.bars, other, other.compute(entry.bars))
    assert second.fetch() == ("computed", 1)
    assert (first.fetch(), second.fetch()) == (("read", 0), ("read", 0))


def test_another_order_is_computed_again(entry: Entry) -> None:
    turned = FeatureSet(entry.features.columns[::-1])
    other = Entry(entry.cache, entry.bars, turned, turned.compute(entry.bars))
    assert other.fetch() == ("computed", 1)


# --- damage ----------------------------------------------------------------------------------


def _assert_replaced(entry: Entry) -> None:
    assert entry.fetch() == ("replaced", 1)
    assert entry.fetch() == ("read", 0)
    assert entry.files() == {entry.data.name, entry.metadata.name}


@pytest.mark.parametrize("keep", [0, 4, 0.5, -1])
def test_truncated_data_are_replaced(keep: float, entry: Entry) -> None:
    raw = entry.data.read_bytes()
    entry.data.write_bytes(raw[: int(len(raw) * keep)] if 0 < keep < 1 else raw[: int(keep)])
    _assert_replaced(entry)


@pytest.mark.parametrize("place", [0.0, 0.2, 0.5, 0.8, 0.999])
def test_data_with_a_changed_bit_are_replaced(place: float, entry: Entry) -> None:
    raw = bytearray(entry.data.read_bytes())
    raw[int(len(raw) * place)] ^= 0x01
    entry.data.write_bytes(bytes(raw))
    _assert_replaced(entry)


def test_a_valid_file_with_one_other_value_is_replaced(entry: Entry) -> None:
    table = pq.read_table(entry.data)
    values = table.column(1).to_numpy().copy()
    values[100] += 1e-6
    pq.write_table(table.set_column(1, table.schema.field(1), [values]), entry.data)
    _assert_replaced(entry)


@pytest.mark.parametrize("which", ["data", "metadata"])
def test_a_missing_file_is_replaced(which: str, entry: Entry) -> None:
    getattr(entry, which).unlink()
    _assert_replaced(entry)


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{", b"\xff\xfe", b"{}", b"[]", b"null", b'"text"', b"7"),
        *(b'{"signature": 1}', b'{"signature": []}', b'{"signature": {}}'),
    ],
)
def test_broken_metadata_are_replaced(content: bytes, entry: Entry) -> None:
    entry.metadata.write_bytes(content)
    _assert_replaced(entry)


def _edit(entry: Entry, change: Callable[[dict], object]) -> None:
    metadata = json.loads(entry.metadata.read_text())
    change(metadata)
    entry.metadata.write_text(json.dumps(metadata))


TAMPERED: dict[str, Callable[[dict], object]] = {
    "rows": lambda m: m.update(rows=299),
    "rows as text": lambda m: m.update(rows="300"),
    "digest": lambda m: m.update(file_digest="0" * 64),
    "no digest": lambda m: m.pop("file_digest"),
    "format": lambda m: m["signature"].update(format=99),
    "no features": lambda m: m["signature"].update(features=[1]),
    "no formula": lambda m: m["signature"]["features"][0].pop("formula"),
    "params": lambda m: m["signature"]["features"][0].update(params=[]),
    "name": lambda m: m["signature"]["features"][0].update(name=[]),
}


@pytest.mark.parametrize("change", TAMPERED.values(), ids=TAMPERED)
def test_tampered_metadata_are_replaced(change: Callable[[dict], object], entry: Entry) -> None:
    _edit(entry, change)
    _assert_replaced(entry)


def test_metadata_of_other_features_are_an_error_with_a_line_for_each_difference(
    entry: Entry,
) -> None:
    def change(metadata: dict) -> None:
        features = metadata["signature"]["features"]
        features[0]["params"] = {"window": 99}
        features[1]["formula"] = "0" * 12
        features[2]["dtype"] = "float64"
        features[3]["name"] = "foreign"
        features[5], features[6] = features[6], features[5]

    _edit(entry, change)
    with pytest.raises(CacheMismatchError) as caught:
        entry.fetch()
    first, *lines, last = str(caught.value).splitlines()
    assert first == f"cached features {entry.data.stem} are not the requested ones:"
    assert [line.split(":")[0].strip() for line in lines] == [
        *("added", "missing", "reordered", "reordered", "re-parameterised", "formula changed"),
        "retyped",
    ]
    assert "  added: foreign" in lines
    assert (
        "  re-parameterised: ret_1 from ret(window=1) memory 1 to ret(window=99) memory 1" in lines
    )
    assert last == f"delete {entry.metadata} to compute them again"
    assert isinstance(caught.value, InputError)
    entry.metadata.unlink()
    _assert_replaced(entry)


# --- the folder ------------------------------------------------------------------------------


def test_a_folder_that_cannot_be_created_is_an_error(entry: Entry, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    cache = FeatureCache(tmp_path / "file" / "features")
    text = (
        r"the feature cache '.*file/features' cannot be written: Not a directory; give a writable"
    )
    with pytest.raises(InputError, match=text):
        cache.fetch(entry.bars, entry.features.signature, lambda: entry.matrix)
    assert (tmp_path / "file").read_bytes() == b""


def test_a_failed_write_leaves_no_temporary_file(entry: Entry) -> None:
    entry.data.unlink()
    (entry.data / "in the way").mkdir(parents=True)
    with pytest.raises(InputError, match=r"cannot be written: Is a directory"):
        entry.fetch()
    assert entry.files() == {entry.data.name, entry.metadata.name}


def test_an_error_of_the_computation_writes_nothing(tmp_path: Path, entry: Entry) -> None:
    cache = FeatureCache(tmp_path / "other")

    def fail() -> Matrix:
        raise InputError("not to be trusted")

    with pytest.raises(InputError, match="not to be trusted"):
        cache.fetch(entry.bars, entry.features.signature, fail)
    assert not cache.folder.exists()


# --- other processes -------------------------------------------------------------------------

# The child process reads the bars from a file and builds the same features.
CHILD = """
import hashlib, os, sys, time
from pathlib import Path
import numpy as np, pandas as pd
from features.bars import validate_bars
from features.cache import FeatureCache
from features.catalogue import BUILT_IN
from features.feature_set import FeatureSet
from features.interval import Interval

folder, rounds, crash = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
hour = Interval.parse("1h")
frame = pd.read_parquet(folder / "bars.parquet")
bars = validate_bars(frame, symbol="SYNTH", interval=hour, calendar="24/7")
features = FeatureSet.build(interval=hour, kinds=BUILT_IN, groups=["returns", "volume"])


def end_here(event, arguments):
    # The process ends just before the file is renamed.
    if event == "os.rename" and str(arguments[1]).endswith(crash):
        os._exit(9)


if crash != "no":
    sys.addaudithook(end_here)
print("ready", flush=True)
start = float(sys.stdin.readline())
for number in range(rounds):
    while time.time() < start + 0.03 * number:
        pass
    cache = FeatureCache(folder / str(number))
    matrix, origin = cache.fetch(bars, features.signature, lambda: features.compute(bars))
    print(origin, hashlib.sha256(np.ascontiguousarray(matrix)).hexdigest(), flush=True)
"""


def _child(folder: Path, rounds: int, crash: str = "no") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(folder), str(rounds), crash],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _go(children: list[subprocess.Popen[str]]) -> list[tuple[str, str, int]]:
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n", child.communicate()[1]
    start = f"{time.time() + 0.1}\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write(start)
        child.stdin.flush()
    # Every child has its input and runs now, so the results may be read one after the other.
    return [(*child.communicate(timeout=60), child.returncode) for child in children]


def test_two_processes_that_write_one_key_leave_one_valid_entry(
    entry: Entry, tmp_path: Path
) -> None:
    entry.bars.to_frame().to_parquet(tmp_path / "bars.parquet")
    rounds = 25
    results = _go([_child(tmp_path, rounds) for _ in range(2)])
    assert [(error, code) for _, error, code in results] == [("", 0)] * 2
    lines = [line.split() for out, _, _ in results for line in out.splitlines()]
    assert len(lines) == 2 * rounds
    assert len({digest for _, digest in lines}) == 1
    assert {origin for origin, _ in lines} <= {"computed", "read", "replaced"}
    for number in range(rounds):
        left = replace(entry, cache=FeatureCache(tmp_path / str(number)))
        assert left.files() == {entry.data.name, entry.metadata.name}
        assert left.fetch() == ("read", 0)


@pytest.mark.parametrize(
    ("crash", "origin"), [(".parquet", "computed"), ("_metadata.json", "replaced")]
)
def test_a_killed_writer_leaves_no_invalid_entry(
    crash: str, origin: str, entry: Entry, tmp_path: Path
) -> None:
    entry.bars.to_frame().to_parquet(tmp_path / "bars.parquet")
    ((_, _, code),) = _go([_child(tmp_path, 1, crash)])
    assert code == 9
    after = replace(entry, cache=FeatureCache(tmp_path / "0"))
    assert not after.metadata.exists()
    assert after.data.exists() == (origin == "replaced")
    assert after.fetch() == (origin, 1)
    assert after.fetch() == ("read", 0)
