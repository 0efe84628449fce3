"""The ports on DynamoDB, SQS and S3."""

from remotejob.backends.aws.connect import connect, from_environment
from remotejob.backends.aws.files import S3Files
from remotejob.backends.aws.messages import SqsMessages
from remotejob.backends.aws.store import DynamoStore

__all__ = ["DynamoStore", "S3Files", "SqsMessages", "connect", "from_environment"]
