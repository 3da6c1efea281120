import json

from inspect_ai import Task, eval_set, task
from inspect_ai.dataset import FieldSpec, json_dataset
from inspect_ai.log import read_eval_log
from inspect_ai.solver import generate


@task
def rows():
    return Task(dataset=json_dataset("rows.jsonl", FieldSpec(input="prompt", id="custom_id")), solver=generate())


if __name__ == "__main__":
    model = "anthropic/claude-haiku-4-5"
    success, logs = eval_set(rows(), "logs", model=model, max_tokens=300, max_connections=50)
    with open("results.jsonl", "w") as results:
        for sample in read_eval_log(logs[0].location).samples:
            print(json.dumps({"id": sample.id, "text": sample.output.completion}), file=results)
