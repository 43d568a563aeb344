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
    assert found == ["e.widget", "c.other_a", "widget.other_b", "d.other_c"]


@pytest.mark.parametrize(
    ("query", "best"),
    [
        ("make an issue", "hub.issues_create"),
        ("show all issues of a repository", "hub.issues_list_for_repo"),
        ("drop label", "hub.issues_delete_label"),
        ("all accounts", "bank.list_accounts"),
        ("submit message", "mail.sendMessage"),
    ],
)
def test_a_word_stands_for_others_that_people_say_for_it(query: str, best: str) -> None:
    assert CATALOG.search(query)[0].operation.path == best


def test_the_tool_that_is_about_nothing_else_comes_before_those_that_are() -> None:
    catalog = Catalog(
        [
            tool("c.a", "List requested reviewers for a pull request"),
            tool("c.b", "List pull requests"),
            tool("c.c", "List pull requests of a commit"),
        ]
    )
    assert [one.operation.path for one in catalog.search("list pull requests")] == [
        "c.b", "c.c", "c.a",
    ]  # fmt: skip


def test_tools_put_in_the_place_of_others_are_found_and_those_are_not() -> None:
    catalog = Catalog([tool("a.old", "widget"), tool("b.kept", "gadget")])
    catalog.renew("a", [tool("a.new", "gizmo")])
    assert catalog.search("widget") == []
    assert [one.operation.path for one in catalog.search("gizmo")] == ["a.new"]
    assert [one.operation.path for one in catalog.search("gadget")] == ["b.kept"]


def test_nothing_is_found_for_words_that_nothing_has() -> None:
    assert CATALOG.search("zebra") == CATALOG.search("") == CATALOG.search("the of") == []


def test_a_tool_that_is_not_there_is_an_error_that_names_those_like_it() -> None:
    with pytest.raises(UnknownTool, match=r"there is hub\.issues_create"):
        CATALOG.get("hub.create_issue")


def test_words_are_the_parts_of_names_without_plurals() -> None:
    assert words("listIssuesForHTTPRepo2 the-classes_status") == [
        "list", "issue", "http", "repo", "2", "class", "status",
    ]  # fmt: skip
