"""Settings from the environment."""

from pathlib import Path

import pytest

from paddlewheel.errors import ConfigurationError
from workers.settings import WorkerSettings

BROKER = {"PADDLEWHEEL_BROKER_URL": "redis://:secret@host:6379/0"}


def test_defaults_need_a_broker_only() -> None:
    settings = WorkerSettings.from_environment(BROKER)
    assert settings.result_url == settings.blob_url == settings.broker_url
    assert settings.devices == ("cpu",)
    assert settings.recognition_models == ("PP-OCRv6_small_rec",)
    assert settings.task_slots >= 16


@pytest.mark.parametrize(
    ("name", "value"),
    [("DEVICE", "gpu"), ("DEVICE", "gpu:0,1"), ("DEVICE", "cpu,gpu:0"), ("ENGINE", "paddle")],
)
def test_where_only_paddle_runs_the_text_models_are_those_that_it_reads(name: str, value: str) -> None:
    settings = WorkerSettings.from_environment({**BROKER, f"PADDLEWHEEL_{name}": value})
    assert settings.recognition_models == ("PP-OCRv4_mobile_rec",)
    assert settings.detection_models == ("PP-OCRv4_mobile_det",)
    named = {**BROKER, f"PADDLEWHEEL_{name}": value, "PADDLEWHEEL_RECOGNITION_MODELS": "mine"}
    assert WorkerSettings.from_environment(named).recognition_models == ("mine",)


def test_addresses_are_not_shown() -> None:
    assert "secret" not in repr(WorkerSettings.from_environment(BROKER))


@pytest.mark.parametrize(
    ("given", "devices"),
    [
        ("cpu", ("cpu",)),
        ("gpu", ("gpu:0",)),
        ("gpu:1", ("gpu:1",)),
        ("gpu:0,1", ("gpu:0", "gpu:1")),
        ("cpu,cpu", ("cpu", "cpu")),
    ],
)
def test_a_device_string_means_one_process_each(given: str, devices: tuple[str, ...]) -> None:
    assert WorkerSettings.from_environment({**BROKER, "PADDLEWHEEL_DEVICE": given}).devices == devices


def test_lists_are_separated_by_commas() -> None:
    settings = WorkerSettings.from_environment({**BROKER, "PADDLEWHEEL_RECOGNITION_MODELS": "a, b,"})
    assert settings.recognition_models == ("a", "b")


def test_an_input_shape_is_three_numbers() -> None:
    given = WorkerSettings.from_environment({**BROKER, "PADDLEWHEEL_INPUT_SHAPE": "3,32,256"})
    assert given.input_shape == (3, 32, 256)
    for wrong in ("48", "1,48,320", "3,0,320", "3,48,wide"):
        with pytest.raises(ConfigurationError, match="PADDLEWHEEL_INPUT_SHAPE"):
            WorkerSettings.from_environment({**BROKER, "PADDLEWHEEL_INPUT_SHAPE": wrong})


def test_the_memory_of_a_batch_is_bounded_above_that_between_batches() -> None:
    given = {**BROKER, "PADDLEWHEEL_MODEL_MEMORY_LIMIT": "2000", "PADDLEWHEEL_MODEL_MEMORY_MAX": "2500"}
    settings = WorkerSettings.from_environment(given)
    assert (settings.model_memory_limit, settings.model_memory_max) == (2000, 2500)
    with pytest.raises(ConfigurationError, match="PADDLEWHEEL_MODEL_MEMORY_MAX"):
        WorkerSettings.from_environment({**given, "PADDLEWHEEL_MODEL_MEMORY_MAX": "1999"})


def test_a_wrong_setting_is_named_as_the_operator_wrote_it() -> None:
    with pytest.raises(ConfigurationError, match="PADDLEWHEEL_MAX_BATCH_SIZE"):
        WorkerSettings.from_environment({**BROKER, "PADDLEWHEEL_MAX_BATCH_SIZE": "0"})
    with pytest.raises(ConfigurationError, match="PADDLEWHEEL_ENGINE"):
        WorkerSettings.from_environment({**BROKER, "PADDLEWHEEL_ENGINE": "torch"})


def test_without_a_broker_it_says_what_to_set(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.chdir(str(tmp_path))
    monkeypatch.delenv("PADDLEWHEEL_BROKER_URL", raising=False)
    with pytest.raises(ConfigurationError, match="PADDLEWHEEL_BROKER_URL"):
        WorkerSettings.from_environment({})


def test_every_setting_is_described() -> None:
    assert all(field.description for field in WorkerSettings.model_fields.values())


def test_the_reference_lists_every_setting() -> None:
    page = (
        (Path(__file__).parents[3] / "docs" / "reference" / "settings.md").read_text().split("## Gateway")[0]
    )
    for name, field in WorkerSettings.model_fields.items():
        (row,) = [line for line in page.splitlines() if line.startswith(f"| `PADDLEWHEEL_{name.upper()}` |")]
        assert row.endswith(f"| {field.description} |")


def test_models_elsewhere_are_given_by_name() -> None:
    given = {**BROKER, "PADDLEWHEEL_MODEL_DIRECTORIES": "tuned=/models/a=b, other=here,"}
    directories = WorkerSettings.from_environment(given).model_directories
    assert directories == {"tuned": Path("/models/a=b"), "other": Path("here")}
    assert WorkerSettings.from_environment(BROKER).model_directories == {}
    with pytest.raises(ConfigurationError, match=r"PADDLEWHEEL_MODEL_DIRECTORIES.*name=/path/to/it"):
        WorkerSettings.from_environment({**BROKER, "PADDLEWHEEL_MODEL_DIRECTORIES": "/models"})
