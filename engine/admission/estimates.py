"""How many tokens a request will use: estimated, before it is sent, from requests like it that have ended."""

__all__ = ["Estimates"]

_WEIGHT = 0.1  # of the newest, in the running means
_FURTHEST_OFF = 10.0  # a prompt's measured size is corrected by at most this factor
_FIRST_OUTPUT = 500.0  # tokens, while nothing is known


class Estimates:
    """Running means over the requests of one group to one model."""

    __slots__ = ("_input", "_inputs", "_measured", "_output", "_outputs")

    def __init__(self) -> None:
        self._inputs = 0
        self._measured = self._input = 1.0
        self._outputs = 0
        self._output = _FIRST_OUTPUT

    def output(self, max_tokens: int) -> float:
        """The estimated output tokens of a request with this `max_tokens`."""
        return min(self._output, max_tokens)

    def input(self, measured: float) -> float:
        """The estimated tokens of a prompt, or of a part of one, that was measured as `measured` tokens."""
        ratio = self._input / self._measured
        return measured * min(max(ratio, 1 / _FURTHEST_OFF), _FURTHEST_OFF)

    def learn_input(self, measured: float, tokens: float) -> None:
        """A prompt that was measured as `measured` tokens had `tokens`, cached ones included."""
        if measured > 0:
            self._inputs += 1
            weight = _weight(self._inputs)
            self._measured += weight * (measured - self._measured)
            self._input += weight * (tokens - self._input)

    def learn_output(self, tokens: float) -> None:
        """An answer that came to its end had so many output tokens."""
        self._outputs += 1
        self._output += _weight(self._outputs) * (tokens - self._output)


def _weight(known: int) -> float:
    # The first values make a plain mean: what was there before them is only a guess.
    return max(_WEIGHT, 1 / known)
