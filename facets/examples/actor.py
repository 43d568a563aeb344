"""A durable actor and its facets: state that survives, at function-call cost."""

import asyncio

from facets import Actor, LocalRuntime


class Tally(Actor):
    """Counts one thing, in a database of its own."""

    async def add(self, amount: int) -> int:
        """The sum so far. What a call writes is on disk before its caller hears of it."""
        self.kv["sum"] = self.kv.get("sum", 0) + amount
        total: int = self.kv["sum"]
        return total


class Counter(Actor):
    """Keeps a tally for each word."""

    async def count(self, text: str) -> dict[str, int]:
        """How often each word was counted, by all calls."""
        return {word: await self.facets.get(word, Tally).add(1) for word in text.split()}


async def main() -> None:
    """Count, end the runtime, and go on from where it was."""
    for text in ("octopus squid octopus", "octopus"):
        async with LocalRuntime("state/") as runtime:
            print(await runtime.get(Counter, "alice").count(text))


if __name__ == "__main__":
    asyncio.run(main())
