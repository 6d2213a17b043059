"""No answer reaches another caller; benchmarks/crosstalk.py is the long run."""

from benchmarks.crosstalk import measure
from tests.named_service import named_service

ITEMS = 4000


def test_no_answer_reaches_another_caller_while_model_processes_are_killed() -> None:
    settings = {"PADDLEWHEEL_VISIBILITY_TIMEOUT": "4", "PADDLEWHEEL_MAX_BATCH_SIZE": "32"}
    with named_service(2, **settings) as service:
        outcome = measure(service, items=ITEMS, callers=2, kills=1.0, most=3)
    print(outcome)
    assert (outcome.right, outcome.strayed, outcome.failed) == (ITEMS, 0, 0)
    assert outcome.kills
