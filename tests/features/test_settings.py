from __future__ import annotations

from pathlib import Path

import pytest

from features.errors import InputError
from features.settings import read_features, read_settings


def test_a_file_with_one_mapping_is_read(tmp_path: Path) -> None:
    path = tmp_path / "features.yaml"
    path.write_text("groups: [a, b]\nwindows: {ret: [4, 8]}\n")
    assert read_settings(path, "features") == {"groups": ["a", "b"], "windows": {"ret": [4, 8]}}


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (None, "cannot be read: "),
        (b"groups: [", "cannot be read: "),
        (b"a: 1\nb: [2, 3\nc: 4", "in line 3; give a YAML file"),
        (b"- ret", "must map names to values"),
        (b"", "is empty; write one"),
        (b"!!python/object/apply:os.getcwd []", "cannot be read: "),
        (b"a: &a [x, x]\ngroups: [*a, *a]\n", "must not use YAML aliases"),
        ("groups: [caf\xe9]".encode("latin-1"), "cannot be read: "),
        (b"a: 2020-13-45", "cannot be read: "),
        (b"[" * 5000, "cannot be read: "),
        (b"a: " + b"x" * 1_000_000, "must have at most 1,000,000 characters; is it a file of "),
        (b"groups: [a]\ngroups: [b]\n", "gives 'groups' twice; keep one of them"),
        (b"windows:\n  ret: [1]\n  rsi: [2]\n  ret: [3]\n", "gives 'ret' twice"),
        (b"a: [{b: 1, b: 2}]", "gives 'b' twice"),
        ("".join(f"k{n}: 1\n" for n in [*range(60_000), 7]).encode(), "gives 'k7' twice"),
    ],
)
def test_the_error_for_an_invalid_file_is_one_sentence(
    content: bytes | None, error: str, tmp_path: Path
) -> None:
    path = tmp_path / "some.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_settings(path, "features")
    text = str(caught.value)
    assert text.startswith(f"`features` file {str(path)!r} ")
    assert error in text
    assert "\n" not in text


def test_features_are_a_file_or_names_of_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read_features("") == {}
    assert read_features("returns") == {"groups": ["returns"]}
    assert read_features(" returns ,volume,") == {"groups": ["returns", "volume"]}
    path = tmp_path / "mine.yaml"
    path.write_text("groups: [time]\n")
    assert read_features(str(path)) == {"groups": ["time"]}
    monkeypatch.chdir(tmp_path)
    path.rename("returns")  # a file goes before a group
    assert read_features("returns") == {"groups": ["time"]}
    for missing in ("mine.yml", "./mine"):
        with pytest.raises(InputError, match="cannot be read"):
            read_features(missing)
