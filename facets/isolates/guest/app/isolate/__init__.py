"""The runtime inside an isolate. Tools import `facets`, not this."""

import facets  # noqa: F401 - first: its modules and those here refer to each other
