"""Code mode: code that uses an API, waits for an approval across a restart, and goes on.

A model is shown two tools, `search` and `execute`, however large the API is; here the code that it
would write is in this file, and the service is a function. A real service is
`HttpRequest("https://...", headers={"Authorization": ...})` in the place of `shop`.
"""

import asyncio

from facets import Actor, LocalRuntime
from facets.codemode import Allow, Ask, CodeMode, OpenApiConnector

NUMBER = {"type": "integer"}
ORDER = {"name": "id", "in": "path", "required": True, "schema": NUMBER}
AMOUNT = {"type": "object", "properties": {"amount": NUMBER}, "required": ["amount"]}
BODY = {"required": True, "content": {"application/json": {"schema": AMOUNT}}}
DOCUMENT = {
    "openapi": "3.1.0",
    "paths": {
        "/orders": {"get": {"operationId": "orders_list", "summary": "List all orders"}},
        "/orders/{id}/refund": {
            "post": {
                "operationId": "orders_refund",
                "summary": "Pay money back",
                "parameters": [ORDER],
                "requestBody": BODY,
            }
        },
    },
}
CODE = """
import asyncio
late = [one for one in await shop.orders_list() if one["days"] > 14]
refunds = (shop.orders_refund(id=one["id"], amount=one["price"]) for one in late)
await asyncio.gather(*refunds)
"""


async def shop(method: str, path: str, **request: object) -> object:
    """The service."""
    print(f"  {method} {path} {request['body'] or ''}")
    if method == "GET":
        return [{"id": n, "price": 40 * n, "days": 10 * n} for n in (1, 2, 3)]
    return f"refunded: {path}"


class Clerk(Actor):
    """Runs code that a model writes. Large refunds are asked for."""

    async def on_start(self) -> None:
        """Code mode keeps what it does in this actor's database."""
        rules = [Ask("shop.*", when=lambda given: given.get("amount", 0) > 100), Allow()]
        connector = OpenApiConnector("shop", DOCUMENT, request=shop)
        self.code = CodeMode(self, [connector], rules=rules)

    async def search(self, query: str) -> str:
        """The first tool."""
        return await self.code.search(query)

    async def execute(self, code: str) -> str:
        """The second tool."""
        return self.code.told(await self.code.execute(code))

    async def approve_all(self) -> str:
        """What a person says, days later perhaps."""
        for call in self.code.pending():
            execution = await self.code.approve(call.id)
        return self.code.told(execution)


async def main() -> None:
    """Search, execute, restart, approve: no request is made twice."""
    async with LocalRuntime("state/") as runtime:
        print(await runtime.get(Clerk, "alice").search("refund an order"))
        print(await runtime.get(Clerk, "alice").execute(CODE))
    async with LocalRuntime("state/") as runtime:
        print(await runtime.get(Clerk, "alice").approve_all())


if __name__ == "__main__":
    asyncio.run(main())
