"""The adapters on NATS JetStream: log, key-value buckets, objects, users, embedded server."""
