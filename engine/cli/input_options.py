"""What the command line says of the input: how its rows become requests, which of them, and in which order."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import attrs

from ..input import InputError, RequestFile, RequestPipe, read_requests
from ..input.reading import Columns
from ..runs.seeds import settled_order
from .parameters import parameters_of
from .replaced import replaced

__all__ = ["InputOptions"]


@attrs.frozen(kw_only=True)
class InputOptions:
    """How an input is to be read."""

    model: str | None = None
    max_tokens: int | None = None
    system: str | None = None
    """A text, or @ and a file."""
    params: Sequence[str] = ()
    """More parameters of the API, each NAME=VALUE."""
    template: str | None = None
    """The file of a template for the prompts."""
    prompt_column: str | None = None
    id_column: str | None = None
    epochs: int = 1
    sample: int | None = None
    shuffle: bool = False
    seed: int | None = None
    skip_invalid: bool = False

    @cached_property
    def parameters(self) -> Mapping[str, Any]:
        """The parameters of the API for all requests. Raises `InputError`."""
        return parameters_of(model=self.model, max_tokens=self.max_tokens, system=self.system, more=self.params)

    @property
    def model_name(self) -> str | None:
        """The model of all requests. Raises `InputError`."""
        return self.parameters.get("model")

    def read(self, source: str, output: str | None, *, overwrite: bool) -> RequestFile | RequestPipe:
        """Reads the input of a run that writes to `output`. Raises `InputError`."""
        if self.template is not None and self.prompt_column is not None:
            raise InputError("--template makes the prompts, --prompt-column has them: give one of the two")
        if self.seed is not None and self.sample is None and not self.shuffle:
            raise InputError("--seed goes with --sample or --shuffle")
        for name, column in (("--prompt-column", self.prompt_column), ("--id-column", self.id_column)):
            if column == "":
                raise InputError(f"{name} is the name of a column, not an empty text")
        order = settled_order(
            output or "-", sample=self.sample, shuffle=self.shuffle, seed=self.seed, overwrite=overwrite
        )
        return read_requests(
            source,
            needs_model=self.model_name is None,
            skip_invalid=self.skip_invalid,
            parameters=self.parameters,
            template=None if self.template is None else Path(self.template),
            columns=Columns(prompt=self.prompt_column, id=self.id_column),
            epochs=self.epochs,
            sample=order.sample,
            shuffle=order.shuffle,
            seed=order.seed,
        )

    def remarks(self, requests: RequestFile | RequestPipe) -> list[str]:
        """What is worth saying of the input before it is run."""
        lines = replaced(requests.replaced, self.parameters)
        lines += [f"note: {line}" for line in requests.remarks]
        if isinstance(requests, RequestFile) and requests.seed is not None:
            how = "shuffled" if self.sample is None else "sample"
            lines.append(f"{how}: {requests.entries:,} of {requests.found:,}, seed {requests.seed}")
        return lines
