"""The runtime inside an isolate: loop, messages, values, storage. Tools import `facets`, not this."""

import facets  # noqa: F401 - first: its modules and those here refer to each other
