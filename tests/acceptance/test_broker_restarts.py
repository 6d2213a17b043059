"""A broker that is killed (-9) under load and comes back; benchmarks/broker_restarts.py is the long run."""

from benchmarks.broker_restarts import measure
from tests.named_lines import draw_named
from tests.named_service import named_service


def test_a_broker_that_is_killed_and_restarted_under_load_costs_no_answer_and_no_worker() -> None:
    with named_service(1, FAULTY_PACE="0.01") as service:
        (worker,) = service.workers

        def restart() -> None:
            service.valkey.kill()
            service.restart_valkey()

        tally = measure(
            service.url,
            [draw_named(number) for number in range(20)],
            restart,
            lambda: worker.process.poll() is not None,
            restarts=2,
            callers=4,
        )
        print(tally)
        assert tally.kept, tally.lost
        assert tally.answered > 20
