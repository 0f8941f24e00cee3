"""The control plane, and who may use it."""

from __future__ import annotations

import httpx
import pytest

from tests.services.inference.conftest import API_KEY

CALLS = [
    ("POST", "/"),
    ("GET", "/local"),
    ("GET", "/local/oidv4"),
    ("GET", "/local/oidv4/1/v2/trainings"),
    ("GET", "/local/oidv4/1/v2/trainings/get"),
    ("POST", "/video_upload_signed_url"),
    ("POST", "/video_upload_signed_url/"),
    ("POST", "/videoinfer"),
    ("POST", "/videoinfer/"),
    ("GET", "/videoinfer"),
    ("GET", "/videoinfer/"),
]


@pytest.mark.parametrize(("method", "path"), CALLS)
@pytest.mark.parametrize("params", [{}, {"api_key": ""}, {"api_key": "test-kex"}, {"api_key": "schlüssel"}])
async def test_nothing_is_answered_without_the_key(
    anonymous: httpx.AsyncClient, method: str, path: str, params: dict[str, str]
) -> None:
    """Every call of the API needs the key, and says so in JSON."""
    response = await anonymous.request(method, path, params=params)
    assert response.status_code == 401
    assert response.json()["error"] == "auth_refused"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
async def test_a_bearer_token_is_as_good(anonymous: httpx.AsyncClient, scheme: str) -> None:
    """Newer clients keep the key out of URLs."""
    response = await anonymous.post("/", headers={"Authorization": f"{scheme} {API_KEY}"})
    assert response.json() == {"workspace": "local"}


@pytest.mark.parametrize("header", [f"Basic {API_KEY}", API_KEY, "Bearer", "Bearer wrong"])
async def test_another_authorization_is_refused(anonymous: httpx.AsyncClient, header: str) -> None:
    """A bearer token that is wrong is not made up for by anything."""
    response = await anonymous.post("/", headers={"Authorization": header})
    assert response.status_code == 401


async def test_the_workspace_lists_its_projects(client: httpx.AsyncClient) -> None:
    """Each offered model is a project."""
    workspace = (await client.get("/local")).json()["workspace"]
    assert workspace["url"] == "local"
    assert [project["id"] for project in workspace["projects"]] == ["local/oidv4", "local/sorting"]


async def test_a_project_tells_type_and_classes_in_order(client: httpx.AsyncClient) -> None:
    """Class ids in results are positions in this list."""
    answer = (await client.get("/local/sorting")).json()
    assert answer["project"]["type"] == "classification"
    assert list(answer["project"]["classes"]) == ["good", "bad"]
    (version,) = answer["versions"]
    assert version["id"] == "local/sorting/1"
    assert version["model"]


@pytest.mark.parametrize(
    "path", ["/acme", "/acme/oidv4", "/local/nope", "/local/oidv4/2/v2/trainings", "/local/nope/1/v2/trainings/get"]
)
async def test_what_is_not_here_is_said_to_be_unknown(client: httpx.AsyncClient, path: str) -> None:
    """The answer says what there is instead."""
    response = await client.get(path)
    assert response.status_code == 404
    assert response.json()["error"] == "model_unknown"
    assert response.json()["hint"]


async def test_health_needs_no_key(anonymous: httpx.AsyncClient) -> None:
    """A probe may ask; without its workers the service calls itself degraded."""
    response = await anonymous.get("/healthz")
    assert response.status_code == 503
    assert response.json() == {"status": "degraded", "workers": 1}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_the_bare_address_says_what_this_is(anonymous: httpx.AsyncClient, method: str) -> None:
    """In a sentence, to who opens it in a browser; nothing of the models or of whose it is."""
    response = await anonymous.request(method, "/")
    assert (200, "text/plain; charset=utf-8") == (response.status_code, response.headers["content-type"])
    assert ("inference service" in response.text) == (method == "GET")
    assert "oidv4" not in response.text


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json"])
async def test_no_page_describes_the_service_to_strangers(anonymous: httpx.AsyncClient, path: str) -> None:
    """FastAPI's own pages are off."""
    assert (await anonymous.get(path)).status_code == 401


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/a/b/c/d/e/f", 404), ("DELETE", "/videoinfer/", 405)])
async def test_unknown_routes_answer_in_json(client: httpx.AsyncClient, method: str, path: str, status: int) -> None:
    """Clients parse every error the same way."""
    response = await client.request(method, path)
    assert response.status_code == status
    assert response.json()["error"] == f"http_{status}"
