"""The command: `python -m benchmarks NAME`, from the top of the repository."""

import typer

from .admission.command import command as admission
from .budget.command import command as budget
from .gateway.command import command as gateway
from .jobs.command import command as jobs
from .plan.command import command as plan
from .ray.command import command as ray
from .relay.command import command as relay
from .runs.command import command as run
from .speed.command import command as speed
from .speed.micro import command as micro
from .typed.command import command as typed

app = typer.Typer(
    name="benchmarks",
    help="How well manystream does, against what it could do and against what else there is.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def benchmarks() -> None:
    pass  # without it typer would make a single benchmark the command itself


app.command("admission")(admission)
app.command("speed")(speed)
app.command("micro")(micro)
app.command("run")(run)
app.command("jobs")(jobs)
app.command("plan")(plan)
app.command("typed")(typed)
app.command("budget")(budget)
app.command("ray")(ray)
app.command("gateway")(gateway)
app.command("relay")(relay)

if __name__ == "__main__":
    app(prog_name="python -m benchmarks")
