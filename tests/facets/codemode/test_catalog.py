"""The search: what people ask for comes first."""

from __future__ import annotations

from typing import Any

import pytest

from facets.codemode.catalog import Catalog, words
from facets.codemode.errors import UnknownTool
from facets.codemode.operation import Operation
from facets.codemode.schema import Schema


async def nothing(arguments: dict[str, Any]) -> Any: ...


def tool(path: str, text: str = "", method: str = "", location: str = "") -> Operation:
    connector, name = path.split(".")
    return Operation(
        connector, name, nothing, Schema({}), description=text, method=method, location=location
    )


CATALOG = Catalog(
    [
        tool("hub.issues_create", "Create an issue", "POST", "/repos/{owner}/{repo}/issues"),
        tool("hub.issues_list_for_repo", "List repository issues", "GET", "/repos/{o}/{r}/issues"),
        tool("hub.issues_delete_label", "Remove a label from issues", "DELETE", "/labels"),
        tool("hub.pulls_list", "Lists pull requests; with issues", "GET", "/pulls"),
        tool("mail.sendMessage", "Send a message to a person"),
        tool("bank.pay", "Send money to a person"),
        tool("bank.list_accounts", "Accounts"),
    ]
)  # fmt: skip


@pytest.mark.parametrize(
    ("query", "best"),
    [
        ("create issue", "hub.issues_create"),
        ("list issues", "hub.issues_list_for_repo"),
        ("remove labels", "hub.issues_delete_label"),
        ("pull requests", "hub.pulls_list"),
        ("send message", "mail.sendMessage"),
        ("SendMessage", "mail.sendMessage"),
        ("send money", "bank.pay"),
        ("bank accounts", "bank.list_accounts"),
        ("accoun", "bank.list_accounts"),
        ("hub.issues_create", "hub.issues_create"),
    ],
)
def test_what_is_asked_for_comes_first(query: str, best: str) -> None:
    assert CATALOG.search(query)[0].operation.path == best


def test_a_word_counts_by_where_it_stands() -> None:
    catalog = Catalog(
        [
            tool("c.other_a", "widget"),
            tool("widget.other_b"),
            tool("d.other_c", method="WIDGET"),
            tool("e.widget"),
        ]
    )
    found = [one.operation.path for one in catalog.search("widget")]
    assert found == ["e.widget", "d.other_c", "widget.other_b", "c.other_a"]


def test_nothing_is_found_for_words_that_nothing_has() -> None:
    assert CATALOG.search("zebra") == CATALOG.search("") == CATALOG.search("the of") == []


def test_a_tool_that_is_not_there_is_an_error_that_names_those_like_it() -> None:
    with pytest.raises(UnknownTool, match=r"there is hub\.issues_create"):
        CATALOG.get("hub.create_issue")


def test_words_are_the_parts_of_names_without_plurals() -> None:
    assert words("listIssuesForHTTPRepo2 the-classes_status") == [
        "list", "issue", "http", "repo", "2", "classe", "status",
    ]  # fmt: skip
