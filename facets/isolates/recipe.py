"""What is asked for besides the source: how it is loaded, what it gets, what it may use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypedDict

from actors.values import copy
from facets import images
from facets.egress.egress import Egress
from facets.images.names import Built
from facets.isolates.code import IMAGES, Code
from facets.isolates.content import content
from facets.isolates.limits import Limits
from facets.isolates.sources import Source
from facets.isolates.tails import Tail
from facets.packages.pins import Lock

Packages = Sequence[str] | Lock
Seed = int | str | bytes


class Options(TypedDict, total=False):
    """The keyword arguments of `load`, `get` and `run`."""

    main: str | None
    """The module that is loaded; see `sources.read`."""
    language: str | None
    """ "python", "javascript" or "typescript"; left out, the endings of module names say it, and
    otherwise it is Python."""
    image: str | None
    """What to run Python in. "science" has numpy, pandas, scipy, scikit-learn and matplotlib (see
    `facets.isolates.science`); any other name is one that `facets.images.build` made."""
    env: Mapping[str, Any] | None
    """Plain data and capabilities, which the code sees as `self.env`."""
    egress: Egress | None
    """The only way out of it; None means that there is none. Each sandbox gets an exit of its own,
    whose budget ends with it and whose name in the audit is the actor and the code. What is asked
    for leaves once everything that it may depend on is durable, and never inside a transaction of
    several actors (`EffectInTransaction`). An egress belongs to who made it: when a runtime
    closes, only connections that are idle are closed. Isolates of one egress are the same, those
    of two are not."""
    limits: Limits | None
    """What each sandbox may use. Without it, memory is what an image takes and as much again as
    code without packages has."""
    packages: Packages
    """Requirements, or a `packages.Lock`, of pure Python packages, or of packages of npm for
    JavaScript and TypeScript. Those that a `# /// script`
    block of the main module names are added, and a lock or an image must have them."""
    tails: Sequence[Tail]
    """Each is given the `Invocation` of every load, call and stream after it is over (see
    `tails.Delivery`); `self.isolates.log` has them too."""
    deterministic: Seed | None
    """A seed: each sandbox has a clock that stands still but for the waits of its code, and random
    bytes that follow from the seed; the same inputs give the same outputs. It is recorded, see
    `Isolate.recording` and `facets.replay`. It is minted when it is needed, and its `cpu` counts
    fuel: two billion units a second, for each message that goes in."""
    recorded: bool
    """False with `deterministic`: the same clock and random bytes, and no recording. Code that was
    compiled before is used, and `cpu` is time, so it starts about as fast as any other; where
    objects lie in memory, and with that the order of sets of them, may differ."""


@dataclass(frozen=True)
class Recipe:
    """`Options`, complete, checked, and not to be changed by who gave them."""

    main: str | None = None
    language: str | None = None
    image: str | None = None
    env: Mapping[str, Any] = field(default_factory=dict)
    egress: Egress | None = None
    limits: Limits | None = None
    packages: Packages = ()
    tails: Sequence[Tail] = ()
    deterministic: Seed | None = None
    recorded: bool = True

    @classmethod
    def of(cls, given: Options) -> Recipe:
        """NotTransferable if `env` has something that cannot cross."""
        options: dict[str, Any] = {k: v for k, v in given.items() if v is not None}
        if not isinstance(options.get("egress"), Egress | None):
            raise TypeError(f"egress is a facets.Egress, not {type(options['egress']).__name__}")
        content(dict(options.get("env", {})), "env")
        options["env"] = copy(dict(options.get("env", {})), "env")
        options["tails"] = tuple(options.get("tails", ()))
        packages = options.get("packages", ())
        if not isinstance(packages, Lock | str):  # a text is refused where it is read
            options["packages"] = tuple(packages)
        return cls(**options)

    def code(self, source: Source) -> Code:
        """The code in this source; see `sources.read`."""
        ready = self.image if self.image in IMAGES else None
        return Code.of(source, self.main, self.language, ready or "")

    @cached_property
    def built(self) -> Built | None:
        """The image that was built for it, if it asks for one."""
        return None if self.image is None or self.image in IMAGES else images.find(self.image)

    @property
    def most(self) -> Limits:
        """`limits`, or those that its image is made for."""
        return self.limits or (self.built.limits if self.built else Limits())

    @cached_property
    def data(self) -> object:
        """What stands for `env` and `egress` where two recipes are compared."""
        return content(dict(self.env), "env"), self.egress

    @property
    def key(self) -> object:
        """Equal for recipes that say the same."""
        return (
            self.main, self.language, self.image, self.data, self.limits, self.packages, self.tails,
            repr(self.deterministic), self.recorded,
        )  # fmt: skip
