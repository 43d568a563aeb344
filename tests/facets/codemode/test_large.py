"""A real document of over a thousand operations, which a package of npm ships."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from facets.codemode import Catalog, OpenApiConnector
from facets.codemode.stubs import declare
from facets.packages.errors import PackageError
from tests.benchmarks.codemode import measured
from tests.benchmarks.documents import document

QUERIES = {
    "create an issue": "issues_create",
    "list issues of a repository": "issues_list_for_repo",
    "list all pull requests": "pulls_list",
    "listPullRequests": "pulls_list",
    "get a repository": "repos_get",
    "merge pull request": "pulls_merge",
    "search code": "search_code",
    "create gist": "gists_create",
    "get readme": "repos_get_readme",
    "remove a webhook of an organization": "orgs_delete_webhook",
    "star a repository": "activity_star_repo_for_authenticated_user",
    "add label to issue": "issues_add_labels",
    "list workflow runs": "actions_list_workflow_runs",
    "cancel workflow run": "actions_cancel_workflow_run",
    "download artifact": "actions_download_artifact",
    "create release": "repos_create_release",
    "current user": "users_get_authenticated",
    "fork repo": "repos_create_fork",
    "comment on issue": "issues_create_comment",
    "list commits": "repos_list_commits",
    "list branches": "repos_list_branches",
    "rename branch": "repos_rename_branch",
    "my notifications": "activity_list_notifications_for_authenticated_user",
    "delete collaborator": "repos_remove_collaborator",
    "find users": "search_users",
    "upload release asset": "repos_upload_release_asset",
    "follow user": "users_follow",
    "show all teams": "teams_list",
}
"""What people ask for, and what they mean."""


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    try:
        return document("api.github.com")
    except (PackageError, OSError) as error:
        pytest.skip(f"the document cannot be had: {error}")


@pytest.fixture(scope="module")
def catalog(described: dict[str, Any]) -> Catalog:
    async def request(method: str, path: str, **rest: Any) -> Any: ...

    return Catalog(asyncio.run(OpenApiConnector("api", described, request=request).operations()))


@pytest.mark.parametrize(("query", "best"), QUERIES.items())
def test_what_people_ask_for_is_among_the_first_three(
    catalog: Catalog, query: str, best: str
) -> None:
    assert best in [one.operation.name for one in catalog.search(query, 3)]


def test_nearly_all_of_it_comes_first(catalog: Catalog) -> None:
    first = [catalog.search(query, 1)[0].operation.name for query in QUERIES]
    assert sum(map(str.__eq__, first, QUERIES.values())) >= len(QUERIES) - 3


def test_operations_are_declared_within_what_a_model_can_read(catalog: Catalog) -> None:
    every = [*catalog.operations.values()]
    for language in ("python", "typescript"):
        assert all(len(declare(one, language)) < 4 * 6_000 for one in every[::3])


async def test_a_model_reads_a_thousandth_of_the_schemas(described: dict[str, Any]) -> None:
    figures = await measured(described)
    assert figures["operations"] > 1_000
    assert figures["all schemas, tokens"] > 400_000
    assert figures["saved before the first word, %"] > 99.9
    assert figures["saved in a whole task, %"] > 98.5
    assert figures["index, MB"] < 16
