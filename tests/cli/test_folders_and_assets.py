import json

from tests.cli.conftest import Ah


def test_the_tutorials_first_commands(ah: Ah) -> None:
    made = ah("create", "folder", "model/image-classification")
    assert (made.code, made.out) == (0, "")
    assert made.err == "AH INFO: Creating Model Folder image-classification\n"
    made = ah("create", "model", "image-classification/mnist-cnn-keras")
    assert made.err == ("AH INFO: Creating Model mnist-cnn-keras in Folder image-classification\n")


def test_the_short_form_goes_by_the_path_alone(ah: Ah) -> None:
    for path in ("model/llm", "model/llm/gpt2", "model/llm/gpt2:v1"):
        assert ah("create", path).code == 0
    assert ah("create", "model/llm/gpt2:t1", "--tag", "--source", "v1").code == 0
    assert [line.split()[0] for line in ah("ls", "model/llm/gpt2", "--branch").lines] == [
        "NAME", "main", "v1",
    ]  # fmt: skip
    assert [line.split()[0] for line in ah("ls", "--tag", "model/llm/gpt2").lines] == ["NAME", "t1"]
    assert ah("ls", "model/llm/gpt2:v1", "--commit").lines[1].split()[1:3] == [
        "Repository", "created",
    ]  # fmt: skip
    assert ah("delete", "model/llm/gpt2:t1").err == "AH INFO: Deleting tag t1 of Model gpt2\n"
    assert ah("delete", "model/llm/gpt2:v1").err == "AH INFO: Deleting branch v1 of Model gpt2\n"
    assert ah("delete", "model/llm/gpt2").err == "AH INFO: Deleting Model gpt2 in Folder llm\n"
    assert ah("delete", "model/llm").err == "AH INFO: Deleting Model Folder llm\n"
    nothing = ah("ls")
    assert (nothing.out, nothing.err) == ("", "AH INFO: No folders\n")


def test_folders_are_listed_by_kind_and_together(digits: Ah) -> None:
    both = digits("ls")
    assert [line.split()[1] for line in both.lines] == [
        "PATH",
        "user/dataset/img",
        "user/model/img",
    ]
    assert digits("ls", "folder").out == both.out
    for command in (("ls", "model"), ("ls", "folder", "model")):
        assert [line.split()[1] for line in digits(*command).lines] == ["PATH", "user/model/img"]
    for command in (("ls", "model", "img"), ("ls", "model/img"), ("ls", "model", "model/img")):
        assert digits(*command).lines[1].split()[:2] == ["net", "user/model/img/net"]


def test_labels_and_descriptions(ah: Ah) -> None:
    ah("create", "folder", "model/llm", "-l", "NLP", "-l", "AIGC", "--description", "Words.\nMany.")
    assert "NLP, AIGC" in ah("ls", "model").out
    shown = ah("show", "model/llm").lines
    assert "LABELS:       NLP, AIGC" in shown
    assert shown[shown.index("DESCRIPTION:  Words.") + 1] == "              Many."
    assert ah("update", "model/llm", "-n", "chat", "-l", "x").err == (
        "AH INFO: Renaming Model Folder llm to chat\n"
    )
    assert json.loads(ah("show", "model/chat", "--json").out)["labels"] == ["x"]
    assert ah("update", "folder", "model/chat", "--no-labels").code == 0
    assert "LABELS" not in ah("show", "model/chat").out


def test_a_kind_may_be_left_out_where_it_is_plain(digits: Ah) -> None:
    assert digits("ls", "object", "img/digits").lines[1].startswith("a.txt")
    assert digits("commit", "img/net", "-m", "x", "-a", "a.txt").code == 0
    digits("create", "dataset", "img/net")
    both = digits("ls", "object", "img/net")
    assert both.code == 2
    assert "write model/img/net or dataset/img/net" in both.err
    # A command that says the kind has nothing to ask.
    assert digits("ls", "workflow", "img/net").code == 0


def test_a_full_folder_is_deleted_only_by_force(digits: Ah) -> None:
    assert digits("delete", "folder", "dataset/img").code == 1
    assert digits("ls", "dataset/img").lines[1].split()[0] == "digits"
    assert digits("delete", "folder", "dataset/img", "--force").code == 0
    assert digits("ls", "dataset").out == ""


def test_a_listing_of_nothing_says_so_and_writes_nothing(digits: Ah) -> None:
    # A script that counts lines would count the titles.
    for form, what in {
        "tag img/digits": "tags",
        "object img/net": "objects",
        "object img/digits nope": "objects",
        "workflow img/net": "runs",
        "evaluation img/net": "evaluations",
        "commit img/digits -n 0": "commits",
    }.items():
        listed = digits("ls", *form.split())
        assert (listed.code, listed.out, listed.err) == (0, "", f"AH INFO: No {what}\n")


def test_what_exists_may_be_asked_to_exist(digits: Ah) -> None:
    again = digits("create", "model", "img/net")
    assert (again.code, again.out) == (1, "")
    assert again.err.startswith("AH ERROR: ")
    assert "already exists" in again.err
    assert digits("create", "model", "img/net", "--exist-ok").code == 0
    assert digits("create", "folder", "model/img", "--exist-ok").code == 0


def test_evaluations_that_were_measured_elsewhere(digits: Ah) -> None:
    made = digits(
        "create", "evaluation", "img/net:branch/main", "-d", "img/digits",
        "-m", "loss=1.47", "-m", "accuracy=0.99", "-m", "name=best",
    )  # fmt: skip
    assert made.err.startswith("AH INFO: Creating evaluation of commit ")
    lines = digits("ls", "evaluation", "img/net:main").lines
    assert lines[1] == "MODEL:           user/model/img/net:branch/main"
    assert lines[3] == "DATASET:         user/dataset/img/digits:main"
    assert lines[6:] == [
        "RESULTS:         key     value",
        '                 metric  {"loss": 1.47, "accuracy": 0.99, "name": "best"}',
    ]
    (record,) = json.loads(digits("ls", "evaluation", "img/net", "--json").out)
    assert record["results"] == {"metric": '{"loss": 1.47, "accuracy": 0.99, "name": "best"}'}
    for shown in (digits("show", "evaluation", record["id"]), digits("show", record["id"])):
        assert shown.lines == [*lines[:6], "BY:              user", *lines[6:]]
    deleted = digits("delete", "evaluation", record["id"])
    assert deleted.err == f"AH INFO: Deleting evaluation with ID {record['id']}\n"
    nothing = digits("ls", "evaluation", "img/net")
    assert (nothing.out, nothing.err) == ("", "AH INFO: No evaluations\n")


def test_every_listing_speaks_json(digits: Ah) -> None:
    digits("create", "tag", "img/digits:t1", "--source", "main")
    for command in (
        "ls", "ls folder", "ls model img", "ls dataset img", "ls branch img/digits",
        "ls tag img/digits", "ls commit img/digits", "ls object img/digits",
        "ls workflow img/net", "ls evaluation img/net", "log img/digits",
        "status img/digits sub", "diff img/digits:main~1 main",
    ):  # fmt: skip
        result = digits(*command.split(), "--json")
        assert isinstance(json.loads(result.out), list), command
        assert result.err == "", command
    for command in ("show img/digits", "show img/digits:t1", "show model/img", "info", "whoami"):
        assert isinstance(json.loads(digits(*command.split(), "--json").out), dict), command
