"""A store in a bucket: the contract over S3's own operations, several processes at once."""
