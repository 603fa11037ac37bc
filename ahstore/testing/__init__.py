"""The test kit we ship: conformance suites that a new backend must pass."""
