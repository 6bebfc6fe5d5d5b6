"""One stack for all end-to-end tests: starting it costs more than any of them."""

from collections.abc import Iterator

import pytest

from offline import stack as offline


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[offline.Stack]:
    with offline.running(state=tmp_path_factory.mktemp("stack")) as running:
        yield running
