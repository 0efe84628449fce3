"""Our own HTTP client for DynamoDB, SQS and S3. Only `account` and `files` import it."""
