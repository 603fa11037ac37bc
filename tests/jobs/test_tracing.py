"""From a run or an evaluation back to code, data and checkpoint, in plain words."""

from __future__ import annotations

from ahstore.hub.records import EvaluationRecord
from ahstore.jobs.records import RunRecord
from tests.jobs.conftest import House

TRAIN = """
import os
from ahstore import run
run.log(step=1, loss=0.125)
open(os.path.join(os.environ["AH_OUTPUT_DIR"], "model"), "w").write("m")
"""
EVALUATE = """
import os
open(os.path.join(os.environ["AH_RESULTS_DIR"], "metric.json"), "w").write('{"accuracy": 0.75}')
"""


def done(house: House, run: RunRecord) -> RunRecord:
    record = house.wait(run)
    assert record.status == "Succeeded", house.log(record)
    return record


def only_evaluation(house: House) -> EvaluationRecord:
    [found] = house.hub.list_evaluations(house.model)
    return found


def test_a_number_leads_to_code_data_and_checkpoint(house: House) -> None:
    trained = done(house, house.train(TRAIN, params={"rate": 0.5}))
    evaluated = done(house, house.evaluate(EVALUATE, "b"))
    measured = only_evaluation(house)
    by_number = house.jobs.provenance.why_evaluation(measured)
    assert by_number[0].startswith(f"Evaluation {measured.id} of user/model/")
    assert "accuracy 0.75" in by_number[0]
    for told in (by_number[1], house.jobs.provenance.why_run(evaluated)[0]):
        assert told.startswith(f"Run {evaluated.name} (evaluate) was started on ")
        assert f"at commit {evaluated.spec.code.commit[:12]}" in told
        assert f"mnist:main @ {evaluated.spec.dataset.commit.hex()[:8]}" in told
        assert "evaluating user/model/image-classification/mnist-cnn-keras:b @" in told
        assert "It is Succeeded: the code exited with status 0." in told
    for paragraphs in (by_number[2:], house.jobs.provenance.why_run(evaluated)[2:]):
        assert f"by the training {trained.name}." in paragraphs[0]
        assert f"at commit {trained.spec.code.commit[:12]}" in paragraphs[0]
        assert "with rate=0.5." in paragraphs[0]
        assert measured.id in paragraphs[1]


def test_a_training_leads_to_what_it_made_and_continued(house: House) -> None:
    first = done(house, house.train(TRAIN))
    second = done(house, house.train(branch="c", checkpoint=(house.model, "b")))
    told = house.jobs.provenance.why_run(second)
    assert second.commit is not None
    assert f"It made commit {second.commit.hex()[:8]} on branch c." in told[0]
    assert f"by the training {second.name}." in told[1]
    assert "It logged step 1, loss 0.125." in told[1]
    assert f"by the training {first.name}." in told[2]


def test_a_run_that_failed_says_what_it_was_given(house: House) -> None:
    run = house.wait(house.train("raise SystemExit('no luck')"))
    [told] = house.jobs.provenance.why_run(run)
    assert f"at commit {run.spec.code.commit[:12]}" in told
    assert "It is Failed: the code exited with status 1." in told
    assert "train.py exited with status 1" in told


def test_what_was_deleted_is_said_to_be(house: House) -> None:
    done(house, house.train(TRAIN))
    evaluated = done(house, house.evaluate(EVALUATE, "b"))
    measured = only_evaluation(house)
    house.jobs.delete(evaluated)
    told = house.jobs.provenance.why_evaluation(measured)
    assert told[1] == (
        f"Run {evaluated.id}, which measured it, was deleted; what it was given is not known."
    )
    again = done(house, house.evaluate(EVALUATE, "b"))
    assert again.evaluation is not None
    house.hub.delete_evaluation(again.evaluation)
    assert house.jobs.provenance.why_run(again)[1].endswith("which it recorded, was deleted.")


def test_what_no_run_measured(house: House) -> None:
    record = house.hub.create_evaluation(
        house.model, "main", house.dataset, "main", {"metric": {"loss": 1.5}}
    )
    told = house.jobs.provenance.why_evaluation(record)
    assert told[1] == "No run measured it: these results were recorded as they were given."
    assert "loss 1.5" in told[0]


def test_a_result_that_was_reused_leads_to_the_run_that_did_the_work(house: House) -> None:
    trained = done(house, house.train(TRAIN))
    reused = done(house, house.train(branch="c", reuse=True))
    told = house.jobs.provenance.why_run(reused)
    assert f"It took the result of run {trained.name}, which had done the same:" in told[0]
    assert f"by the training {trained.name}." in told[1]


def test_a_rerun_leads_to_the_version_it_verified(house: House) -> None:
    trained = done(house, house.train(TRAIN))
    rerun = done(house, house.jobs.rerun(house.model, "b"))
    told = house.jobs.provenance.why_run(rerun)
    assert told[0].startswith(f"Run {rerun.name} (rerun)")
    assert "same bytes" in told[1]
    assert f"by the training {trained.name}." in told[2]
