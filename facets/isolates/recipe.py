"""What is asked for besides the source: how it is loaded, what it gets, what it may use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypedDict

from actors.values import copy
from facets.isolates.code import IMAGES
from facets.isolates.content import content
from facets.isolates.limits import Limits
from facets.isolates.tails import Tail
from facets.packages.pins import Lock

Packages = Sequence[str] | Lock


class Options(TypedDict, total=False):
    """The keyword arguments of `load`, `get` and `run`."""

    main: str | None
    """The module that is loaded; see `sources.read`."""
    language: str | None
    """ "python", "javascript" or "typescript"; left out, the endings of module names say it, and
    otherwise it is Python."""
    image: str | None
    """What to run Python in: the name of an image that `facets.images.build` made, or "science",
    a Python with numpy, pandas, scipy, scikit-learn and matplotlib (see `isolates.science`)."""
    env: Mapping[str, Any] | None
    """Plain data and capabilities, which the code sees as `self.env`."""
    limits: Limits | None
    """What each sandbox may use."""
    packages: Packages
    """Requirements, or a `packages.Lock`, of pure Python packages. Those that a `# /// script`
    block of the main module names are added, and a lock or an image must have them."""
    tails: Sequence[Tail]
    """Each is given the `Invocation` of every load, call and stream after it is over (see
    `tails.Delivery`); `self.isolates.log` has them too."""


@dataclass(frozen=True)
class Recipe:
    """`Options`, complete, checked, and not to be changed by who gave them."""

    main: str | None = None
    language: str | None = None
    image: str | None = None
    env: Mapping[str, Any] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    packages: Packages = ()
    tails: Sequence[Tail] = ()

    @classmethod
    def of(cls, given: Options) -> Recipe:
        """NotTransferable if `env` has something that cannot cross."""
        options: dict[str, Any] = {k: v for k, v in given.items() if v is not None}
        content(dict(options.get("env", {})), "env")
        options["env"] = copy(dict(options.get("env", {})), "env")
        options["tails"] = tuple(options.get("tails", ()))
        packages = options.get("packages", ())
        if not isinstance(packages, Lock | str):  # a text is refused where it is read
            options["packages"] = tuple(packages)
        return cls(**options)

    @property
    def shipped(self) -> str:
        """The image, if it is one that is not built; or ""."""
        return self.image if self.image in IMAGES else ""

    @cached_property
    def data(self) -> object:
        """What stands for `env` where two recipes are compared."""
        return content(dict(self.env), "env")

    @property
    def key(self) -> object:
        """Equal for recipes that say the same."""
        return (
            self.main, self.language, self.image, self.data, self.limits, self.packages, self.tails,
        )  # fmt: skip
