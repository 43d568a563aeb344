"""Actors in other frameworks: each module is for one of them, and imports it.

    pydantic_ai.py    FacetToolset, FacetWorkspace
    openai_agents.py  FacetSession, facet_tool, facet_tools
    langgraph.py      FacetSaver: checkpoints, an actor for each thread
    deepagents.py     facet_subagent, FacetBackend
    smolagents.py     FacetExecutor: code of a model in an isolate
    inside.py         what it gives the isolate to run it
    checkpoints.py    what FacetSaver keeps, as rows
    tools.py          methods of actors as tools, for all of them
    bridge.py         calls from other threads and event loops
    files.py          the files of an actor, for those that ask by path
    errors.py         its branch of the tree of errors

Each needs the extra of its framework. Nothing is imported that is not asked for: use
`from facets.adapters.langgraph import FacetSaver`. What speaks MCP needs no adapter: see
`facets.mcp`.
"""
