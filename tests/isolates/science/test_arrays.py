"""Arrays and data frames across the boundary: as they were, or refused."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pytest

from facets.isolates.codec import Blob, Record, lift, lower, pack, unpack
from facets.isolates.errors import NotTransferable
from facets.isolates.science import arrays


def there_and_back(value: object) -> Any:
    blob = Blob(arrays=True)
    header, tail = unpack(pack(lower(value, blob), blob))
    return lift(header, tail)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6).reshape(2, 3),
        np.arange(6).reshape(2, 3).T,
        np.array(5.5),
        np.zeros((0, 4), "f4"),
        np.array([1 + 2j]),
        np.array([True, False]),
        np.array(["2020-01-01", "NaT"], "M8[ns]"),
        np.array([1, 2], ">i4"),
        np.arange(100)[::7],
    ],
)
def test_an_array_comes_back_with_its_shape_and_type(array: np.ndarray[Any, Any]) -> None:
    back = there_and_back({"a": [array]})["a"][0]
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    assert back.tobytes() == array.tobytes()
    back.flags.writeable = True


def test_scalars_objects_and_text_become_plain() -> None:
    assert there_and_back([np.int64(5), np.float32(0.5), np.bool_(True)]) == [5, 0.5, True]
    assert there_and_back(np.array(["a", "b"])) == ["a", "b"]
    assert there_and_back(np.array([1, "x", None], object)) == [1, "x", None]


def test_a_frame_comes_back_with_its_columns_and_index() -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(
        {
            "n": [1, 2],
            "x": [0.5, None],
            "t": pd.to_datetime(["2020-01-01", None]),
            "s": ["a", None],
        },
        index=["r", "s"],
    )
    back = there_and_back(frame)
    assert list(back.columns) == list(frame.columns)
    assert list(back.index) == ["r", "s"]
    assert back["n"].tolist() == [1, 2]
    assert back["t"].dtype.kind == "M"
    assert back["s"].iloc[0] == "a"
    assert pd.isna(back["s"].iloc[1])
    assert there_and_back(frame["n"]).name == "n"
    assert there_and_back(pd.DataFrame({0: [1]})).columns.tolist() == [0]
    assert there_and_back([pd.Timestamp("2020-01-01"), pd.NaT]) == [dt.datetime(2020, 1, 1), None]


def test_other_isolates_get_no_arrays() -> None:
    with pytest.raises(NotTransferable, match=r"value\[0\]: ndarray cannot cross"):
        lower([np.arange(3)], Blob())


@pytest.mark.parametrize(
    "parts",
    [
        ["N"],
        ["N", "<f8", [2], {"$": ["b", 0, 8]}],
        ["N", "<f8", [-1], {"$": ["b", 0, 8]}],
        ["N", "<f8", [1 << 60, 1 << 60], {"$": ["b", 0, 8]}],
        ["N", "<f8", [1.0], {"$": ["b", 0, 8]}],
        ["N", "|O", [1], {"$": ["b", 0, 8]}],
        ["N", "|V8", [1], {"$": ["b", 0, 8]}],
        ["N", "<f8,<f8", [1], {"$": ["b", 0, 8]}],
        ["N", "<f99", [1], {"$": ["b", 0, 8]}],
        ["N", "<f8", [1], "text"],
        ["N", "<f8", [1] * 40, {"$": ["b", 0, 8]}],
        ["N", 5, [1], {"$": ["b", 0, 8]}],
        ["F", ["a"], [], None],
        ["F", ["a", "b"], [[1], [1, 2]], None],
        ["F", "ab", [[1], [2]], None],
        ["S", "a", [1, 2], [1]],
    ],
)
def test_parts_that_do_not_fit_are_malformed(parts: list[Any]) -> None:
    with pytest.raises(ValueError, match="malformed"):
        lift({"$": parts}, "x" * 8)


def test_without_numpy_the_parts_come_as_a_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "_has", lambda _name: False)
    assert there_and_back(np.array([1], "<i2")) == Record(
        "ndarray", {"dtype": "<i2", "shape": [1], "data": b"\1\0"}
    )
