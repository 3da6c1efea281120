"""The job benchmark's own counting: what is lost, doubled, errored, wrong, refused and paid for is found."""

import json
from collections.abc import Sequence

import anthropic
import pytest
from benchmarks.jobs.attempt import Attempt, Session
from benchmarks.jobs.cases import CASES, MODEL, SEED, prompts
from benchmarks.jobs.contestants import CONTESTANTS, code_lines, lines_written
from benchmarks.jobs.report import markdown
from benchmarks.jobs.service import ledger_of
from benchmarks.jobs.tally import Exchange, Row, Tally, read_rows, tally

from manystream import Simulator

PROMPTS = {"a": "Say a", "b": "Say b", "c": "Say c", "d": "Say d"}


def answered(id: str, outcome: str = "complete", output_tokens: int = 100) -> Exchange:
    return Exchange(PROMPTS[id], 200, outcome, 500, output_tokens, f"the answer to {id}")


def refused(id: str, status: int) -> Exchange:
    return Exchange(PROMPTS[id], status, "complete", 0, 0)


def good(id: str) -> Row:
    return Row(id, f"the answer to {id}")


def counted(exchanges: Sequence[Exchange], rows: Sequence[Row]) -> Tally:
    return tally(PROMPTS, exchanges, rows, price=(1.0, 5.0))


def test_a_job_that_went_well_has_nothing_to_count() -> None:
    found = counted([answered(id) for id in PROMPTS], [good(id) for id in PROMPTS])
    assert (found.lost, found.doubled, found.errored, found.wrong) == (0, 0, 0, 0)
    assert (found.requests, found.answers, found.refused, found.overloaded, found.cut) == (4, 4, 0, 0, 0)
    assert found.dollars == found.dollars_needed == pytest.approx(4 * (500 * 1 + 100 * 5) / 1e6)


def test_rows_are_lost_doubled_errored_and_wrong() -> None:
    exchanges = [answered("a"), answered("b"), answered("d")]
    rows = [good("a"), good("a"), Row("b", "the answer"), Row("c", None)]
    found = counted(exchanges, rows)
    assert (found.lost, found.doubled, found.errored, found.wrong) == (1, 1, 1, 1)
    # An error that a later line makes good is none, but a line too many; another row's answer is wrong.
    found = counted([answered(id) for id in PROMPTS], [Row("a", None), *map(good, "abc"), Row("d", "the answer to a")])
    assert (found.lost, found.doubled, found.errored, found.wrong) == (0, 1, 0, 1)
    # What the service never said is wrong; white space at the ends is not.
    found = counted([answered("a"), answered("b", "cut")], [Row("a", "the answer to a \n"), good("b")])
    assert (found.lost, found.wrong) == (2, 1)


def test_refusals_cuts_and_what_is_paid_twice_are_counted() -> None:
    exchanges = [
        refused("a", 429),
        refused("a", 429),
        refused("b", 529),
        answered("a", "cut", output_tokens=40),
        answered("b", "disconnected", output_tokens=0),
        *(answered(id) for id in "aabc"),
    ]
    found = counted(exchanges, [good(id) for id in "abc"])
    assert (found.requests, found.refused, found.overloaded) == (9, 2, 1)
    assert (found.cut, found.abandoned, found.answers) == (1, 1, 4)
    once = (500 + 100 * 5) / 1e6
    assert found.dollars == pytest.approx(4 * once + (500 + 40 * 5) / 1e6 + 500 / 1e6)
    assert found.dollars_needed == pytest.approx(4 * once)  # of the row without an answer what the others cost
    assert counted([], []).dollars_needed == 0


def test_results_are_read_in_either_format_and_torn_lines_are_left_out() -> None:
    content = [{"type": "thinking", "thinking": "Hm"}, {"type": "text", "text": "so"}, {"type": "text", "text": "!"}]
    succeeded = {"custom_id": "a", "result": {"type": "succeeded", "message": {"content": content}}}
    errored = {"custom_id": "b", "result": {"type": "errored"}}
    lines = [json.dumps(succeeded), json.dumps(errored), '{"id": "c", "text": "yes"}', '{"id": "d", "te']
    assert read_rows(lines) == [Row("a", "so!"), Row("b", None), Row("c", "yes")]


def test_the_ledger_has_what_was_asked_and_said_however_it_was_asked() -> None:
    simulator = Simulator(seed=SEED)
    simulator.script([529])
    with simulator.in_thread(), anthropic.Anthropic(api_key="any", base_url=simulator.url, max_retries=0) as client:
        blocks: list[anthropic.types.TextBlockParam] = [{"type": "text", "text": "Hi"}]
        with pytest.raises(anthropic.InternalServerError):
            client.messages.create(model=MODEL, max_tokens=300, messages=[{"role": "user", "content": "Hi"}])
        message = client.messages.create(model=MODEL, max_tokens=300, messages=[{"role": "user", "content": blocks}])
        with client.messages.stream(
            model=MODEL, max_tokens=300, messages=[{"role": "user", "content": "Hi"}]
        ) as stream:
            text = stream.get_final_text()
    refusal, whole, streamed = ledger_of(simulator)
    assert (refusal.status, refusal.text, refusal.whole) == (529, None, False)
    assert [exchange.prompt for exchange in (refusal, whole, streamed)] == ["Hi"] * 3
    assert message.content[0].type == "text"
    assert (whole.text, streamed.text) == (message.content[0].text, text)
    assert (whole.input_tokens, whole.output_tokens) == (message.usage.input_tokens, message.usage.output_tokens)


def test_the_limits_allow_so_much_time() -> None:
    job, calm, small = (CASES[name] for name in ("job", "calm", "small"))
    answer = job.allowed_seconds(0)
    assert answer is not None
    # The bucket of ten seconds is full at first; then fifteen rows a second, and the last answer's own time.
    assert job.allowed_seconds(150) == answer
    assert job.allowed_seconds(2_000) == pytest.approx((2_000 - 150) / 15 + answer)
    assert calm.allowed_seconds(2_000) is None
    assert (job.count(2_000), calm.count(2_000), small.count(2_000), small.count(20)) == (2_000, 500, 50, 20)
    assert len(set(prompts(4_000).values())) == len(prompts(4_000)) == 4_000


def test_lines_are_those_with_code_on_them() -> None:
    program = '"""What it does."""\n\nimport json  # to read\n\n# A remark.\nx = json.loads(\n    "{}"\n)\n'
    assert code_lines(program) == 4
    assert all(lines_written(contestant.program) > 0 for contestant in CONTESTANTS.values())


def test_the_tables_say_what_was_counted() -> None:
    rows = [good("a"), good("a"), Row("b", None)]
    attempt = Attempt(
        case="job",
        contestant="manystream",
        versions="manystream 0",
        sessions=(Session(100.0, 3.0, 80.0, -9), Session(50.0, 2.0, 90.0, 0)),
        tally=counted([refused("a", 429), answered("a"), answered("a")], rows),
        allowed_seconds=120.0,
        load=0.5,
    )
    head, _, names, _, line, *_ = markdown("job", [attempt]).splitlines()
    assert "4 rows" in head
    cells = dict(zip(names.split(" | "), line.split(" | "), strict=True))
    assert (cells["time ÷ allowed"], cells["429s"], cells["dollars ÷ needed"]) == ("1.25", "1", "0.500")
    assert (cells["lost"], cells["doubled"], cells["errored"], cells["wrong"]) == ("2", "1", "1", "0")
    assert (cells["CPU s"], cells["peak MB |"]) == ("5.0", "90 |")
