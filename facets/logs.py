"""Log lines with the actor, the call and the trace that they belong to (see `actors.logs`)."""

from actors.logs import JsonLines as JsonLines
from actors.logs import WithActor as WithActor
from actors.logs import log_lines as log_lines
