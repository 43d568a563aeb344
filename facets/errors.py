"""Every error of the project, one tree.

FacetsError
├── StorageError          about durable state; the branches are in storage.errors
├── ActorError            about calls and lives of actors; the branches are in actors.errors,
│   │                     those of a cluster in actors.ray.errors
│   └── QuotaExceeded     about what may be used; the branches are in actors.quotas.errors
├── FacetRunsOtherCode    `get` named other code than what is running under that name
├── AdapterError          about other frameworks; the branches are in facets.adapters.errors
├── AgentError            about agents; the branches are in facets.agents.errors
├── BrowserError          about pages in a browser; the branches are in facets.browser.errors
├── CapabilityError       about what may be called; the branches are in facets.capabilities.errors
├── CodeModeError         about code that uses tools; the branches are in facets.codemode.errors
├── EgressError           about requests to the outside; the branches are in facets.egress.errors
├── ImageError            about images with packages; the branches are in facets.images.errors
├── PackageError          about packages for a sandbox; the branches are in facets.packages.errors
├── SandboxError          about commands in an OS sandbox; branches in facets.sandbox.errors
├── ServeError            about requests over HTTP; the branches are in facets.serve.errors
├── ExtensionError        about extensions; the branches are in facets.extensions.errors
└── IsolateError          about code in a sandbox; the branches are in facets.isolates.errors
"""

from __future__ import annotations

from actors.errors import *  # noqa: F403 - one tree, one place to import it from
from actors.quotas.errors import *  # noqa: F403
from actors.ray.errors import *  # noqa: F403
from facets.adapters.errors import *  # noqa: F403
from facets.agents.errors import *  # noqa: F403
from facets.browser.errors import *  # noqa: F403
from facets.capabilities.errors import *  # noqa: F403
from facets.codemode.errors import *  # noqa: F403
from facets.egress.errors import *  # noqa: F403
from facets.extensions.errors import *  # noqa: F403
from facets.images.errors import *  # noqa: F403
from facets.isolates.errors import *  # noqa: F403
from facets.packages.errors import *  # noqa: F403
from facets.sandbox.errors import *  # noqa: F403
from facets.serve.errors import *  # noqa: F403
from storage.errors import *  # noqa: F403
from storage.errors import FacetsError


class FacetRunsOtherCode(FacetsError):
    """The facet is running, and not what `start` names. Fields: `name`, `running`, `wanted`."""
