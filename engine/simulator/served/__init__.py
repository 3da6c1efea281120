"""The simulated service behind a socket or in memory: requests in, the steps of their responses out."""

from .ledger import Ledger, Outcome, RecordedRequest, Tally
from .responder import Responder
from .server import ListenError, Server
from .tls import Certificate
from .transport import SimulatorTransport

__all__ = [
    "Certificate",
    "Ledger",
    "ListenError",
    "Outcome",
    "RecordedRequest",
    "Responder",
    "Server",
    "SimulatorTransport",
    "Tally",
]
