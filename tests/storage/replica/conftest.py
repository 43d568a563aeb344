"""The S3 service of the object stores' tests."""

from tests.storage.objects.conftest import bucket as bucket
from tests.storage.objects.conftest import s3_environment as s3_environment
from tests.storage.objects.conftest import s3_server as s3_server
