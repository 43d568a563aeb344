"""What every runtime of actors must do, as tests that run on any of them.

In a test module of yours, where pytest runs `async def` tests by itself (pytest-asyncio with
`asyncio_mode = "auto"`):

    class TestMyRuntime(RuntimeConformance):
        @pytest.fixture
        async def runtime(self):
            async with MyRuntime(...) as runtime:      # empty, and of its own for each test
                yield runtime

Override `restart` and `crash` where closing and opening again is not how your runtime starts on
what it left. The actors of the suite live in this package: a runtime with processes of its own
must be able to import it. Every group is a class of its own, for runtimes that promise less.

    life       start, restart, other code over the same data, abort, delete
    copies     clone
    names      which names there are, and that no name can reach another's data
    family     parents, ids, props, list and exists
    steps      what of a call is kept, when it counts, and who waits for whom
    calls      what is handed over, back, and in pieces
    clockwork  timers; needs a clock that the test moves
"""

from facets.testing.conformance.calls import CallConformance as CallConformance
from facets.testing.conformance.clockwork import ClockConformance as ClockConformance
from facets.testing.conformance.copies import CopyConformance as CopyConformance
from facets.testing.conformance.family import FamilyConformance as FamilyConformance
from facets.testing.conformance.life import LifeConformance as LifeConformance
from facets.testing.conformance.names import NameConformance as NameConformance
from facets.testing.conformance.steps import StepConformance as StepConformance


class RuntimeConformance(
    LifeConformance,
    CopyConformance,
    NameConformance,
    FamilyConformance,
    StepConformance,
    CallConformance,
    ClockConformance,
):
    """All of it: inherit, give it a fixture `runtime`, and run pytest."""
