"""The S3 service of the object stores' tests."""

from tests.s3 import bucket as bucket
from tests.s3 import s3_environment as s3_environment
from tests.s3 import s3_server as s3_server
