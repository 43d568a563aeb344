"""The code of a smolagents agent runs in a sandbox that reaches nothing but the agent's tools.

Needs `pip install 'facets-runtime[smolagents]'`. The model is scripted; a real one is
`InferenceClientModel()`, `LiteLLMModel(...)` or any other of theirs.
"""

from typing import Any

from smolagents import CodeAgent, LogLevel, tool
from smolagents.models import ChatMessage, MessageRole, Model

from facets import LocalRuntime
from facets.adapters.smolagents import FacetExecutor


@tool  # type: ignore[untyped-decorator]
def weigh(animal: str) -> float:
    """Weigh an animal.

    Args:
        animal: Its name.
    """
    return {"octopus": 7.5, "squid": 2.0}[animal]


SCRIPT = [
    "import os\nprint(os.listdir('/home'))",
    "while True:\n    pass",
    "weights = {one: weigh(one) for one in ('octopus', 'squid')}\nprint(weights)",
    "final_answer(max(weights, key=weights.get))",
]


class Scripted(Model):  # type: ignore[misc] # it has no annotations
    """Writes what the script says, and prints what it reads."""

    def generate(self, messages: list[Any], **given: Any) -> ChatMessage:
        """The next code of the script."""
        done = sum(one.role == MessageRole.ASSISTANT for one in messages)
        if done:
            told = messages[-1].content[-1]["text"].splitlines()
            print("the model reads:", *told[1 : 3 if told[1] != "Error:" else 4])
        code = f"<code>\n{SCRIPT[done]}\n</code>"
        return ChatMessage(role=MessageRole.ASSISTANT, content=code)


def main() -> None:
    """Let the model look around, hang, compute and answer."""
    with LocalRuntime("state/").blocking() as runtime:
        executor = FacetExecutor(runtime, "alice")
        model = Scripted(model_id="scripted")
        with CodeAgent([weigh], model, executor=executor, verbosity_level=LogLevel.OFF) as agent:
            print("answer:", agent.run("Which one is heavier?"))


if __name__ == "__main__":
    main()
