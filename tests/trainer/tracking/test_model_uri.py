"""Versions by model URI or by number, on a real store; errors list what exists."""

from __future__ import annotations

from typing import Any

import pytest
from mlflow.exceptions import MlflowException

from trainer.errors import TrainerError
from trainer.tracking.model_uri import (
    ModelUri,
    Resolved,
    find_version,
    list_versions,
    locate,
    resolve,
)

NAME = "gru-BTCUSDT"


@pytest.fixture
def client(registry_store: Any) -> Any:
    """Client of a store with three versions of a model; @champion is the first one."""
    client = registry_store.client
    client.create_registered_model(NAME)
    for number in ("1", "2", "3"):
        client.create_model_version(NAME, str(registry_store.folder), tags={"number": number})
    client.set_registered_model_alias(NAME, "champion", "1")
    return client


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("models:/gru-BTC@champion", ModelUri("gru-BTC", alias="champion")),
        ("models:/gru-BTC@Latest", ModelUri("gru-BTC", alias="Latest")),
        ("models:/gru-BTC@", ModelUri("gru-BTC", alias="latest")),
        ("models:/gru-BTC/latest", ModelUri("gru-BTC", alias="latest")),
        ("models:/gru-BTC/3", ModelUri("gru-BTC", version="3")),
        ("models:/gru-BTC", ModelUri("gru-BTC")),
        ("gru-BTC/3", ModelUri("gru-BTC", version="3")),
        ("gru-BTC@champion", ModelUri("gru-BTC", alias="champion")),
    ],
)
def test_a_uri_has_a_name_and_a_version_or_an_alias(text: str, parts: ModelUri) -> None:
    assert ModelUri.parse(text) == parts


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (f"models:/{NAME}@champion", "1"),
        (f"models:/{NAME}@latest", "3"),
        (f"models:/{NAME}@LATEST", "3"),
        (f"models:/{NAME}/latest", "3"),
        (f"models:/{NAME}/2", "2"),
        (f"models:/{NAME}", "3"),
        (f"{NAME}@champion", "1"),
    ],
)
def test_a_uri_names_one_version(client: Any, text: str, number: str) -> None:
    assert str(locate(client, text).version) == number


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (f"models:/{NAME}@gold", f"{NAME} has no alias @gold; give a version, or @latest"),
        (f"models:/{NAME}@a b", f"{NAME} has no alias @a b; give a version, or @latest"),
        (f"models:/{NAME}/7", f"{NAME} has no version '7'; it has 1, 2, 3"),
        (f"models:/{NAME}/03", f"{NAME} has no version '03'; it has 1, 2, 3"),
        ("models:/ppo-X/1", f"there is no registered model 'ppo-X'; there are {NAME}"),
        ("models:/ppo-X@gold", f"there is no registered model 'ppo-X'; there are {NAME}"),
        ("models:/ppo-X@latest", f"there is no registered model 'ppo-X'; there are {NAME}"),
        ("models:/ppo-X", f"there is no registered model 'ppo-X'; there are {NAME}"),
    ],
)
def test_an_unknown_version_is_an_error_that_lists_what_exists(
    client: Any, text: str, error: str
) -> None:
    with pytest.raises(TrainerError) as raised:
        locate(client, text)
    assert str(raised.value) == error


def test_another_error_of_the_store_is_not_taken_for_an_unknown_alias(client: Any) -> None:
    def locked(*_: str) -> None:
        raise MlflowException("database is locked")

    client.get_model_version_by_alias = locked
    with pytest.raises(MlflowException, match="database is locked"):
        locate(client, f"models:/{NAME}@champion")


def test_an_alias_is_replaced_by_its_version_with_the_tags(client: Any) -> None:
    first = Resolved(f"models:/{NAME}/1", "1", {"number": "1"})
    assert resolve(f"models:/{NAME}@champion") == first
    client.set_registered_model_alias(NAME, "champion", "2")
    assert resolve(f"models:/{NAME}@champion").uri == f"models:/{NAME}/2"
    assert resolve(first.uri) == first
    assert resolve(f"models:/{NAME}/latest").tags == {"number": "3"}


@pytest.mark.parametrize("text", ["models:/m-0123", "runs:/abc/model", "/tmp/model", "file:/x"])
def test_a_model_that_is_not_registered_has_no_tags(text: str) -> None:
    assert resolve(text) == Resolved(text, text.rpartition("/")[2], {})


def test_a_version_is_found_by_number_and_the_newest_one_without(registry_store: Any) -> None:
    store = registry_store
    client, name = store.client, store.name
    with pytest.raises(TrainerError, match=r"no registered model 'gru-X'; there is none yet"):
        find_version(client, "gru-X")
    client.create_registered_model(name)
    with pytest.raises(TrainerError, match="lightgbm-SYNTH has no version; `barwright train`"):
        find_version(client, name)
    with pytest.raises(TrainerError, match="there are lightgbm-SYNTH"):
        find_version(client, "gru-X")
    for _ in range(10):
        client.create_model_version(name, str(store.folder))
    assert find_version(client, name).version in (10, "10"), "not 9, which is last as text"
    assert str(find_version(client, name, "3").version) == "3"
    client.delete_model_version(name, "10")
    assert str(find_version(client, name).version) == "9"
    for wrong in ("10", "03", "latest", "x"):
        with pytest.raises(TrainerError, match=f"has no version '{wrong}'; it has 1, 2, 3"):
            find_version(client, name, wrong)
    for hostile in ("it's", f"{name}' and version_number='1"):
        with pytest.raises(TrainerError, match="no registered model"):
            find_version(client, hostile)


def test_versions_are_in_the_order_of_their_numbers(client: Any, registry_store: Any) -> None:
    for _ in range(8):
        client.create_model_version(NAME, str(registry_store.folder))
    assert [int(version.version) for version in list_versions(client, NAME)] == list(range(1, 12))


def test_every_page_of_versions_is_read(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    search = client.search_model_versions
    pages = []

    def one_each(text: str, page_token: str | None = None) -> Any:
        pages.append(page_token)
        return search(text, max_results=1, page_token=page_token)

    monkeypatch.setattr(client, "search_model_versions", one_each)
    assert [int(version.version) for version in list_versions(client, NAME)] == [1, 2, 3]
    assert len(pages) >= 3
