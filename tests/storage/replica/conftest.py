"""The S3 service of the object stores' tests."""
