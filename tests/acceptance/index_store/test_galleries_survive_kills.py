"""The kill test of benchmarks/galleries_kill.py, shortened."""

from pathlib import Path

import pytest

from benchmarks.galleries_kill import AT_RANDOM, STEPS, WRITE_POINTS, KillTest


@pytest.fixture
def kill_test(tmp_path: Path) -> KillTest:
    return KillTest(tmp_path)


def test_nothing_acknowledged_is_lost_doubled_or_half_applied_by_kills(kill_test: KillTest) -> None:
    try:
        outcome = kill_test.run(operations=900, kills=6, postgres_stops=1, seconds=200)
    finally:
        kill_test.close()
    assert outcome.sound, outcome
    assert outcome.acknowledged >= 900
    writers, sealers = outcome.kills["writer"], outcome.kills["sealer"]
    assert min(writers[point] for point in WRITE_POINTS) >= 1
    assert sum(sealers.get(step, 0) for step in STEPS) >= 1
    assert writers[AT_RANDOM] >= 1
    assert sealers[AT_RANDOM] >= 1
    assert writers[AT_RANDOM] + sealers[AT_RANDOM] >= 6
    assert outcome.repeated >= 1
    assert outcome.postgres_stops == 1
    assert outcome.live > 0
