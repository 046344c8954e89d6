"""prepare: every trigger has its cursor before the first worker starts."""

import pytest

from pulsecart.broker.manifests.eventing import load_all
from pulsecart.local.prepare import main
from tests.client import connect


def test_every_trigger_has_its_place_in_the_log_before_anyone_can_buy(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    assert main() == 0
    with connect(database_url) as connection:
        places = connection.execute("SELECT trigger, window_to::text FROM trigger_cursors ORDER BY 1").fetchall()
        wanted = load_all().triggers
        assert [name for name, _ in places] == sorted(trigger.name for trigger in wanted)
        connection.execute("CREATE TABLE something (x int)")
        assert main() == 0
        assert (
            connection.execute("SELECT trigger, window_to::text FROM trigger_cursors ORDER BY 1").fetchall() == places
        )
