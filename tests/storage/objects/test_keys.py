"""Keys: any that passes is safe as a path and in every store."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.errors import ObjectKeyInvalid
from storage.objects.keys import check_key, check_part, check_prefix

TEXT = st.text(alphabet=st.sampled_from([*"aZ0._=-/~% \n\0\\é"]), max_size=12)


@given(TEXT)
def test_a_key_that_passes_stays_inside_its_folder_and_keeps_its_spelling(key: str) -> None:
    try:
        check_key(key)
    except ObjectKeyInvalid:
        return
    folder = Path("/store")
    path = Path("/store", key)
    assert folder in path.parents
    assert ".." not in path.parts
    assert path.relative_to(folder).as_posix() == key


@given(TEXT)
def test_every_beginning_of_a_key_is_a_prefix_and_its_folder_holds_the_key(key: str) -> None:
    try:
        check_key(key)
    except ObjectKeyInvalid:
        return
    for end in range(len(key)):
        folder = check_prefix(key[: end + 1]) if key[: end + 1].strip(".") else ""
        assert key.startswith(folder)
        assert folder == "" or folder.endswith("/")


@pytest.mark.parametrize("part", ["", ".", "..", "a/b", "a" * 256, "a b", "ä", "a\n"])
def test_what_is_not_one_part_of_a_key_is_refused(part: str) -> None:
    with pytest.raises(ObjectKeyInvalid) as caught:
        check_part(part)
    assert caught.value.key == part
    assert isinstance(caught.value, ValueError)


def test_a_part_is_any_name_of_portable_characters() -> None:
    assert check_part("node-7.rack=3_b") == "node-7.rack=3_b"
    assert check_key("leases/node-7/0000000001") == "leases/node-7/0000000001"
