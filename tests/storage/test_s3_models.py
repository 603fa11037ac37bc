"""botocore's models: found without a look at those of other services, and as botocore finds them."""

from __future__ import annotations

import os

import pytest
from botocore.exceptions import UnknownServiceError
from botocore.session import Session

from ahstore.storage.s3.models import new_session

KINDS = ("service-2", "endpoint-rule-set-1")


def test_only_what_is_needed_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder for each of 400 services, twice, in each command that uses a bucket."""
    loader = new_session().get_component("data_loader")
    listed: list[object] = []
    with monkeypatch.context() as patch:
        look = os.listdir
        patch.setattr(os, "listdir", lambda path: [listed.append(path), look(path)][1])
        models = [loader.load_service_model("s3", kind) for kind in KINDS]
    assert 2 <= len(listed) <= 12, listed
    usual = Session().get_component("data_loader")
    assert models == [usual.load_service_model("s3", kind) for kind in KINDS]


def test_services_that_are_not_there() -> None:
    loader = new_session().get_component("data_loader")
    assert {"s3", "sts", "sso"} <= set(loader.list_available_services("service-2"))
    with pytest.raises(UnknownServiceError):
        loader.load_service_model("no-such-service", "service-2")
