"""A model of smolagents that answers from a list."""

from __future__ import annotations

from typing import Any

from smolagents.models import ChatMessage, MessageRole, Model


class Scripted(Model):
    """Each answer is code. `seen` is what it was shown, `observed` what its code gave."""

    def __init__(self, *answers: str) -> None:
        super().__init__(model_id="scripted")
        self.answers = list(answers)
        self.seen: list[str] = []

    def generate(self, messages: Any, **kwargs: Any) -> ChatMessage:
        self.seen.append(text_of(messages[-1]))
        code = self.answers.pop(0)
        return ChatMessage(
            role=MessageRole.ASSISTANT, content=f"Thought: on.\n<code>\n{code}\n</code>"
        )


def text_of(message: Any) -> str:
    content = message.content
    return content if isinstance(content, str) else "".join(one.get("text", "") for one in content)
