"""Every store does what every store must do."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage.objects import FolderStore, ObjectStore, open_store
from storage.testing.conformance import ObjectStoreConformance
from storage.testing.objects import FaultyStore, MemoryStore
from tests.s3 import PAGE


class TestFolder(ObjectStoreConformance):
    @pytest.fixture
    def store(self, tmp_path: Path) -> ObjectStore:
        return FolderStore(tmp_path / "deep" / "folder")

    def other(self, store: ObjectStore) -> ObjectStore:
        assert isinstance(store, FolderStore)
        return FolderStore(store.path)


class TestMemory(ObjectStoreConformance):
    @pytest.fixture
    def store(self) -> ObjectStore:
        return MemoryStore()


class TestFaultyWithoutFaults(ObjectStoreConformance):
    @pytest.fixture
    def store(self) -> ObjectStore:
        return FaultyStore(MemoryStore())

    def other(self, store: ObjectStore) -> ObjectStore:
        assert isinstance(store, FaultyStore)
        return store.store


class TestObstoreMemory(ObjectStoreConformance):
    @pytest.fixture
    def store(self) -> ObjectStore:
        return open_store("memory://")


class TestS3(ObjectStoreConformance):
    page = PAGE

    @pytest.fixture
    def store(self, bucket: str) -> ObjectStore:
        self.url = f"s3://{bucket}/some/prefix"
        return open_store(self.url)

    def other(self, store: ObjectStore) -> ObjectStore:
        return open_store(self.url)
