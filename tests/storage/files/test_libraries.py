"""pandas and pyarrow on an actor's files."""

from __future__ import annotations

import io

import pytest

from storage.database import Database
from storage.files import Files

pytest.importorskip("fsspec")


def test_pandas_writes_and_reads_csv_on_open_files(fs: Files) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"n": range(1000), "name": [f"row {i}" for i in range(1000)]})
    with fs.open("/t.csv", "w", newline="") as file:
        frame.to_csv(file, index=False)
    with fs.open("/t.csv") as file:
        assert pandas.read_csv(file).equals(frame)


def test_pandas_writes_and_reads_parquet_on_open_files(fs: Files) -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    frame = pandas.DataFrame({"n": range(1000)})
    spec = fs.fsspec()
    with spec.open("/t.parquet", "wb") as file:
        frame.to_parquet(file)
    with spec.open("/t.parquet", "rb") as file:
        assert pandas.read_parquet(file).equals(frame)


def test_pandas_takes_an_address(resolved: dict[tuple[str, str], Files]) -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    frame = pandas.DataFrame({"n": range(1000)})
    frame.to_csv("facets://Lead/alice/t.csv", index=False)
    assert pandas.read_csv("facets://Lead/alice/t.csv").equals(frame)
    frame.to_parquet("facets://Lead/alice/t.parquet")
    assert pandas.read_parquet("facets://Lead/alice/t.parquet").equals(frame)
    assert resolved["Lead", "alice"].listdir() == ["t.csv", "t.parquet"]


def test_pyarrow_reads_a_directory_of_files_on_its_own_threads(
    fs: Files, database: Database
) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    dataset = pytest.importorskip("pyarrow.dataset")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = pyarrow.table({"n": list(range(50_000))})
    spec = fs.fsspec()
    for i in range(4):
        with spec.open(f"/all/{i}.parquet", "wb") as file:
            parquet.write_table(table, file)
    database.commit()  # outside of a step, a look from another thread would be refused
    assert dataset.dataset("/all", filesystem=spec).to_table().num_rows == 200_000
    dataset.write_dataset(table, "/out", format="parquet", filesystem=spec)
    assert dataset.dataset("/out", filesystem=spec).to_table().equals(table)


def test_pyarrow_takes_the_file_system(fs: Files) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = pyarrow.table({"n": list(range(5000)), "s": [str(i) for i in range(5000)]})
    spec = fs.fsspec()
    parquet.write_table(table, "/t.parquet", filesystem=spec)
    assert parquet.read_table("/t.parquet", filesystem=spec).equals(table)
    with spec.open("/t.arrow", "wb") as file, pyarrow.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    assert pyarrow.ipc.open_file(io.BytesIO(fs.read("/t.arrow"))).read_all().equals(table)
