"""A bucket of a real store as the place of a fit cache, and stores that fail."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from scripts.object_store import ObjectStore
from tests.faulty_store import FaultyStore, faulty_store
from tests.trainer.procedure.fit_rows import TAIL, TRAIN, make
from trainer.procedure import fit_bucket
from trainer.procedure.fit_bucket import FitBucket
from trainer.procedure.fit_cache import FitCache
from trainer.procedure.fit_place import PlaceError
from trainer.procedure.stored_fit import StoredFit

ROOT = Path(__file__).resolve().parents[3]


def key_of(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


@pytest.fixture
def environment(object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in object_store.environment.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def address(environment: None, object_store: ObjectStore) -> str:
    """An empty prefix."""
    return f"s3://{object_store.bucket}/{uuid4().hex}/fits"


@pytest.fixture
def broken(
    address: str, object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FaultyStore]:
    """The store behind a server that can hang and answer errors; limits are short."""
    monkeypatch.setattr(fit_bucket, "_ANSWER_SECONDS", 0.3)
    monkeypatch.setattr(fit_bucket, "_SECONDS", 3)
    with faulty_store(object_store.endpoint) as store:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", store.endpoint)
        yield store


def test_what_was_written_is_read(address: str) -> None:
    place = FitBucket(f"{address}/")
    assert place.address == address
    place.check()
    assert place.files() == []
    place.write({"one": b"1", "two": b"22"})
    place.write({"two": b"222"})
    assert place.read(["one", "two", "three"]) == {"one": b"1", "two": b"222"}
    files = place.files()
    assert {(file.name, file.size) for file in files} == {("one", 1), ("two", 3)}
    assert all(abs(file.used - time.time()) < 60 for file in files)
    place.touch(["one"])
    place.remove(["one", "three"])
    assert [file.name for file in place.files()] == ["two"]
    FitBucket(f"{address}/deeper").write({"three": b"3"})
    assert [file.name for file in place.files()] == ["two"], "folders in it are not its own"


def test_a_bucket_without_prefix_and_more_files_than_a_page_has(
    address: str, object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = FitBucket(f"s3://{object_store.bucket}")
    names = [f"{uuid4().hex}" for _ in range(5)]
    place.write(dict.fromkeys(names, b"x"))
    page = place._page
    monkeypatch.setattr(place, "_page", lambda **how: page(**how, MaxKeys=2))
    assert set(names) <= {file.name for file in place.files()}
    place.remove(names)
    assert set(names).isdisjoint(file.name for file in place.files())


def test_fits_are_read_by_another_machine(address: str) -> None:
    first, second = FitCache.at(address), FitCache.at(address)
    fitted = first.fetch(make(), TRAIN, TAIL, job="lightgbm-A")
    read = second.fetch(make(), TRAIN, TAIL, job="lightgbm-A")
    assert (first.n_read, second.n_read) == (0, 1)
    assert read.predict(TAIL.X).tobytes() == fitted.predict(TAIL.X).tobytes()
    (file,) = second.files()
    assert (file.job, file.is_current) == ("lightgbm-A", True)
    assert second.place.limit is None, "no command prunes what others may need"


def test_a_damaged_or_foreign_object_is_not_read(address: str) -> None:
    cache = FitCache.at(address)
    fits = [StoredFit(digit * 64, b"model" * 99, {"valid_curve": [0.5]}) for digit in "abc"]
    cache.write("m", fits)
    names = sorted(file.name for file in cache.files())
    raw = cache.place.read(names)
    cache.place.write({names[0]: raw[names[0]][:-1], names[1]: raw[names[2]]})
    assert set(cache.read("m", [fit.key for fit in fits])) == {"c" * 64}
    problems = [why for _, why in cache.check_files(cache.files())]
    assert problems == [
        "its digest differs: bytes are missing or have changed", "it is the fit of another key", "",
    ]  # fmt: skip


# --- several writers --------------------------------------------------------------------------

WRITER = """
import hashlib, sys
sys.path.insert(0, sys.argv[1])
from trainer.procedure.fit_cache import FitCache
from trainer.procedure.stored_fit import StoredFit
cache = FitCache.at(sys.argv[2])
print("ready", flush=True)
for number in range(int(sys.argv[3])):
    key = hashlib.sha256(bytes([number % 256, number // 256])).hexdigest()
    cache.write("m", [StoredFit(key, sys.argv[4].encode() * 2_000_000, {})])
    if number == 2:
        print("writing", flush=True)
"""


def writer(address: str, rounds: int, content: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(ROOT), address, str(rounds), content]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_processes_that_write_the_same_keys_leave_whole_fits(address: str) -> None:
    writers = [writer(address, 8, content) for content in "ab"]
    assert [process.wait(60) for process in writers] == [0, 0]
    for process in writers:
        assert process.stdout is not None
        process.stdout.close()
    cache = FitCache.at(address)
    files = cache.files()
    assert [file.kind for file in files] == ["fit"] * 8
    assert [why for _, why in cache.check_files(files)] == [""] * 8


@pytest.mark.slow
def test_a_writer_that_is_killed_leaves_whole_fits(address: str) -> None:
    with writer(address, 1_000, "a") as process:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(2)] == ["ready\n", "writing\n"]
        process.send_signal(signal.SIGKILL)
    cache = FitCache.at(address)
    files = cache.files()
    assert len(files) >= 3
    assert [why for _, why in cache.check_files(files)] == [""] * len(files)


# --- stores that fail -------------------------------------------------------------------------


def refusal(address: str) -> str:
    with pytest.raises(PlaceError) as caught:
        FitCache.at(address).check()
    return str(caught.value)


def test_a_missing_bucket_is_named(environment: None) -> None:
    text = refusal("s3://nobody/fits")
    assert "the fit cache 's3://nobody/fits' cannot be used: there is no bucket 'nobody'" in text
    assert text.endswith("give another --fit-cache-folder, or --fit-cache off")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, r"the keys are refused \(SignatureDoesNotMatch\)"),
        ({"AWS_ACCESS_KEY_ID": "wrong"}, r"the keys are refused \(InvalidAccessKeyId\)"),
        (
            {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""},
            "there are no keys; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        ),
        (
            {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9"},
            "http://127.0.0.1:9 does not answer; check AWS_ENDPOINT_URL",
        ),
    ],
)
def test_wrong_settings_are_named(
    address: str, changes: dict[str, str], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name, value in changes.items():
        monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name)
    assert re.search(text, refusal(address))


def test_without_s3fs_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    assert 'pip install "barwright[s3]"' in refusal("s3://bucket/fits")


@pytest.mark.parametrize("fault", ["hangs", "answers 500"])
def test_a_store_that_fails_at_the_start_is_one_sentence(address: str, broken: FaultyStore,
                                                         fault: str) -> None:  # fmt: skip
    broken.fault = fault  # type: ignore[assignment]
    started = time.monotonic()
    text = refusal(address)
    assert time.monotonic() - started < 5
    assert broken.requests == 2, "it is asked twice"
    assert ("does not answer" if fault == "hangs" else "Internal Server Error") in text


@pytest.mark.parametrize("fault", ["hangs", "answers 500"])
def test_a_store_that_fails_later_costs_no_fit_and_no_time(
    address: str, broken: FaultyStore, fault: str, caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    cache = FitCache.at(address)
    cache.check()
    cache.fetch(make(seed=0), TRAIN, TAIL)
    broken.fault = fault  # type: ignore[assignment]
    started = time.monotonic()
    assert cache.read("m", [key_of(number) for number in range(200)]) == {}
    for seed in range(20):
        fitted = cache.fetch(make(seed=seed), TRAIN, TAIL)
        if seed == 0:
            fresh = make(seed=seed).fit(TRAIN, TAIL)
            assert fitted.predict(TAIL.X).tobytes() == fresh.predict(TAIL.X).tobytes()
    assert time.monotonic() - started < 10
    assert cache.n_read == 0
    assert len(caplog.messages) == 1
    assert "The run goes on without it." in caplog.text
    broken.fault = ""
    assert len(FitCache.at(address).files()) == 1
    assert capfd.readouterr() == ("", ""), "libraries print nothing"


def test_many_fits_are_read_at_once(
    address: str, broken: FaultyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """36 answers that take 0.1 s each, as from far away, take much less than 3.6 s."""
    monkeypatch.setattr(fit_bucket, "_ANSWER_SECONDS", 5)
    cache = FitCache.at(address)
    fits = [StoredFit(key_of(number), os.urandom(100_000), {}) for number in range(36)]
    cache.write("m", fits)
    broken.delay = 0.1
    started = time.monotonic()
    read = cache.read("m", [fit.key for fit in fits])
    assert time.monotonic() - started < 2
    assert {key: fit.content for key, fit in read.items()} == {f.key: f.content for f in fits}
