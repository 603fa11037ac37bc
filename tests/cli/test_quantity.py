import pytest

from ahstore.cli.quantity import age, count, duration, exact_size, rough_size, short_id


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (37, "37s"),
        (59.9, "59s"),
        (60, "1m"),
        (246, "4m6s"),
        (329, "5m29s"),
        (3599, "59m59s"),
        (3600, "1h"),
        (11520, "3h12m"),
        (86400, "1d"),
        (86400 * 2 + 3600 * 5 + 59, "2d5h"),
        (86400 * 405, "1y40d"),
        (-5, "0s"),
    ],
)
def test_durations_show_two_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_ages_look_back_and_ahead() -> None:
    assert age(1000, 1329) == "5m29s ago"
    assert age(1000.5, 1000.0) == "0s ago"  # clocks that differ a little
    assert age(1300, 1000) == "in 5m"


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (375943, "367.1 KiB"),
        (1 << 30, "1.0 GiB"),
        (1 << 60, "1024.0 PiB"),
    ],
)
def test_rough_sizes(size: int, text: str) -> None:
    assert rough_size(size) == text


def test_small_words() -> None:
    assert exact_size(375943) == "375943B"
    assert short_id("47a530c6645440a7") == "47a530c6"
    assert (count(1, "model"), count(2, "model")) == ("1 model", "2 models")
