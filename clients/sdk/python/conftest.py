import house
import pytest


@pytest.fixture(autouse=True)
def fresh_journal():
    house.clear_journal()
    yield
    house.journal()
