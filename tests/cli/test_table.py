import json
from itertools import count, islice

from hypothesis import given
from hypothesis import strategies as st

from ahstore.cli.emit import _json_list
from ahstore.cli.table import block, clean, first_line, pairs, table, width

# The tables and blocks of the tutorial, byte for byte.
OBJECTS = """\
PATH                   BYTES  CHECKSUM                          MODIFIED
asset-hub.metadata      230B  2d17722a547e0de02bfe9329b63d88eb  5m29s ago
model_state_dict.pt  375943B  201a5a86ca4c578ae3299f98fdf0031b  5m37s ago
"""
WORKFLOW = """\
ID:             986a15a6-6c61-44f8-9d93-1df6d16933da
TYPE:           train
TARGET_BRANCH:  epoch-5
"""
EVALUATION = """\
ID:              c5c3a09d-676d-40cf-968a-5ef5f211a4eb
DATASET_COMMIT:  3dda9345
RESULTS:         key     value
                 metric  {"loss": 1.473171865940094, "accuracy": 0.9883}
"""


def test_the_table_of_objects() -> None:
    rows = [
        ("asset-hub.metadata", "230B", "2d17722a547e0de02bfe9329b63d88eb", "5m29s ago"),
        ("model_state_dict.pt", "375943B", "201a5a86ca4c578ae3299f98fdf0031b", "5m37s ago"),
    ]
    lines = table(("PATH", "BYTES", "CHECKSUM", "MODIFIED"), rows, right=("BYTES",))
    assert "".join(lines) == OBJECTS


def test_the_block_of_a_workflow() -> None:
    fields = {
        "ID": "986a15a6-6c61-44f8-9d93-1df6d16933da",
        "TYPE": "train",
        "TARGET_BRANCH": "epoch-5",
    }
    assert "".join(block(fields)) == WORKFLOW


def test_the_block_of_an_evaluation() -> None:
    metric = '{"loss": 1.473171865940094, "accuracy": 0.9883}'
    fields: dict[str, str | list[str]] = {
        "ID": "c5c3a09d-676d-40cf-968a-5ef5f211a4eb",
        "DATASET_COMMIT": "3dda9345",
        "RESULTS": pairs(("key", "value"), {"metric": metric}),
    }
    assert "".join(block(fields)) == EVALUATION


def test_a_table_without_rows_is_its_head() -> None:
    assert "".join(table(("NAME", "COMMIT_ID"), [])) == "NAME  COMMIT_ID\n"


def test_a_table_does_not_wait_for_its_last_row() -> None:
    # Listing a million objects must start at once and hold only the first rows.
    endless = ((str(number), "x") for number in count())
    assert len(list(islice(table(("N", "X"), endless), 5000))) == 5000


def test_a_wide_row_after_the_first_ones_only_sticks_out() -> None:
    rows = [("a", "b")] * 1000 + [("a" * 30, "b")]
    assert list(table(("N", "X"), rows))[-1] == "a" * 30 + "  b\n"


def test_text_from_outside_can_not_drive_the_terminal() -> None:
    # A commit message with escape sequences could forge lines or rename the reader's window.
    assert clean("a\x1b[2Jb") == "a\\x1b[2Jb"
    assert clean("\u202etxt.exe") == "\\u202etxt.exe"
    assert clean("数据 é") == "数据 é"
    assert first_line("\n one\ntwo") == "one"
    assert first_line("") == ""


@given(st.text())
def test_cleaned_text_is_printable(text: str) -> None:
    assert all(char.isprintable() for char in clean(text))


def test_wide_characters_keep_columns_in_line() -> None:
    lines = list(table(("NAME", "X"), [("数据", "1"), ("ab", "2"), ("e\u0301", "3")]))
    assert [width(line.rstrip("\n")) for line in lines] == [7, 7, 7, 7]
    assert lines[1] == "数据  1\n"


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)  # fmt: skip


@given(st.lists(_values, max_size=4))
def test_a_json_list_is_what_json_writes(values: list[object]) -> None:
    # Written by our own hand because that is faster: scripts must be able to read every list.
    assert "".join(_json_list(values)) == json.dumps(values, indent=2) + "\n"
