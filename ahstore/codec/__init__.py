"""Bytes to bytes: canonical msgpack, digests, envelopes. No I/O."""
