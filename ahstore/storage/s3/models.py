"""botocore's descriptions of services, found without looking through those of all others.

To make a client, botocore's own loader lists each folder of its 400 services, twice.
"""

from __future__ import annotations

import os
from typing import Any

from aiobotocore.session import AioSession
from botocore.loaders import Loader, create_loader


class NamedModels(Loader):  # type: ignore[misc]
    """Holds every folder for that of a service; who asks for one that is not is told then."""

    def list_available_services(self, type_name: str) -> list[str]:  # noqa: ARG002
        """Return the names of the services, whatever is described of them."""
        folders = filter(os.path.isdir, self.search_paths)
        return sorted({name for folder in folders for name in os.listdir(folder)})


def new_session(**options: Any) -> AioSession:
    """Return a session as aiobotocore makes it, but for how it finds its models."""
    session = AioSession(**options)
    usual = create_loader(session.get_config_variable("data_path"))
    loader = NamedModels(extra_search_paths=usual.search_paths, include_default_search_paths=False)
    session.register_component("data_loader", loader)
    return session
