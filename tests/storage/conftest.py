"""Asserts of the shipped suite explain themselves."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("ahstore.testing.storage_suite", "ahstore.testing.storage_reading")
