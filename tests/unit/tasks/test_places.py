"""What is wrong with a place is told before anything is paid."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from config.pipeline import Pipeline
from config.routes import LightlyRoute
from config.settings import Settings
from tasks.domain.errors import AccessDenied, InputInvalid, KeyUnsafe, LocationMissing, NotSignable, StorageUnavailable
from tasks.domain.video import VideoRef
from tasks.places import Firsts, check_places, lifetime_warnings
from tasks.storage.base import ConditionsUnknown
from tasks.stores import Stores
from tests.unit.tasks.clouds import SECRET, Clouds, clouds

__all__ = ["clouds"]  # a fixture

DAY = date(2026, 3, 1)


def pipeline(**inference: Any) -> Pipeline:
    return Pipeline.model_validate(
        {
            "name": "yard",
            "sources": [{"uri": "s3://in/2026/"}, {"uri": "gs://more/"}],
            "inference": {"backend": "local", "model": "oidv4/1"} | inference,
            "routes": [
                {"to": "results", "uri": "s3://out/{date}/{pipeline}"},
                {"to": "lightly", "name": "curation", "datasource": "az://lightly/", "task_name": "t"},
            ],
        }
    )


def settings(folder: Path) -> Settings:
    return Settings.model_validate({"REELROUTE_HOME": folder / "home", "REELROUTE_RESULTS_URL": "s3://kept/"})


def test_every_place_is_looked_at_and_nothing_is_written(clouds: Clouds, tmp_path: Path) -> None:
    """Placeholders are filled in as they will be; a prefix without videos is no reason to stop."""
    check_places(pipeline(), settings(tmp_path), Stores(pipeline()), DAY)
    roots = ["s3://in/2026/", "gs://more/", "s3://out/2026-03-01/yard/", "az://lightly/", "s3://kept/"]
    assert roots == [root for root, _ in clouds.opened]
    assert [] == [item for bucket in clouds.buckets.values() for item in bucket.list()]
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    "error", [LocationMissing("no bucket"), AccessDenied("no", hint="ask"), StorageUnavailable("x")]
)
def test_a_route_that_cannot_be_written_is_named(clouds: Clouds, tmp_path: Path, error: Any) -> None:
    """With the store's own code, hint and exit code."""
    clouds.bucket("az://lightly/").refuses["check_write"] = error
    with pytest.raises(type(error), match="route curation: ") as caught:
        check_places(pipeline(), settings(tmp_path), Stores(pipeline()), DAY)
    assert (error.hint, error.exit_code) == (caught.value.hint, caught.value.exit_code)


def test_a_store_without_conditional_writes_is_refused_where_a_route_needs_them(clouds: Clouds, tmp_path: Path) -> None:
    """Runs at one time share a task's schema; results, videos and the results store need no such thing."""
    asked = pipeline().model_dump(exclude_defaults=True)
    for place in ("s3://out/2026-03-01/yard/", "s3://kept/"):
        clouds.bucket(place).knows_conditions = False
    check_places(pipeline(), settings(tmp_path), Stores(pipeline()), DAY)
    clouds.bucket("az://lightly/").knows_conditions = False
    with pytest.raises(ConditionsUnknown, match=r"route curation: az://lightly/ takes no conditional writes") as caught:
        check_places(pipeline(), settings(tmp_path), Stores(pipeline()), DAY)
    assert 2 == caught.value.exit_code
    assert "another store" in caught.value.hint
    others = [
        {"to": "results", "uri": "az://lightly/"},
        {"to": "video", "uri": "az://lightly/copies"},
        {"to": "labelbox", "upload": True, "dataset": "d", "ontology": "o", "model": "m", "model_run": "r"},
    ]
    clouds.bucket("az://lightly/copies/").knows_conditions = False
    free = Pipeline.model_validate({**asked, "routes": others})
    check_places(free, settings(tmp_path), Stores(free), DAY)
    files = {"to": "labelbox", "upload": False, "uri": "az://lightly/"}
    bound = Pipeline.model_validate({**asked, "routes": [files]})
    with pytest.raises(ConditionsUnknown, match="labelbox route"):
        check_places(bound, settings(tmp_path), Stores(bound), DAY)


def test_the_place_for_results_is_looked_at_too(clouds: Clouds, tmp_path: Path) -> None:
    """What was paid for must be kept."""
    clouds.bucket("s3://kept/").refuses["check_write"] = AccessDenied("no")
    with pytest.raises(AccessDenied):
        check_places(pipeline(), settings(tmp_path), Stores(pipeline()), DAY)


# --- how long signed URLs work ---------------------------------------------------------------------


def firsts(stores: Stores, *uris: str) -> Firsts:
    found = Firsts(stores)
    for uri in uris:
        found.add(VideoRef(uri=uri, version="1", size=1, modified=datetime.now(UTC), name="v"))
    return found


def warnings(clouds: Clouds, **inference: Any) -> list[str]:
    stores = Stores(pipeline(**inference))
    found = firsts(stores, "s3://in/2026/a.mp4", "s3://in/2026/b.mp4", "gs://more/c.mp4")
    return lifetime_warnings(pipeline(**inference), stores, found, datetime.now(UTC))


def test_urls_that_outlast_the_deadline_need_no_warning(clouds: Clouds) -> None:
    """A day for six hours."""
    assert [] == warnings(clouds)


def test_credentials_that_end_before_the_deadline_are_told_with_both_times(clouds: Clouds) -> None:
    """Once for a source, whatever number of videos it has."""
    clouds.bucket("s3://in/2026/").lifetime = timedelta(minutes=50)
    assert 1 == len(told := warnings(clouds))
    assert "s3://in/2026/ end after 0:50:00, when the credentials do, and the deadline is 6:00:00" in told[0]
    assert SECRET not in told[0]


def test_a_url_lifetime_below_the_deadline_is_told(clouds: Clouds) -> None:
    """It is the file that says so."""
    told = warnings(clouds, url_lifetime="1h", deadline="2h")
    assert ["for url_lifetime says so" in warning for warning in told] == [True, True]


def test_credentials_that_cannot_sign_end_the_run_before_it_starts(clouds: Clouds) -> None:
    """Every video of the source would fail; a single bad key does not count as that."""
    clouds.bucket("gs://more/").refuses["sign"] = NotSignable("no service account")
    with pytest.raises(NotSignable) as caught:
        warnings(clouds)
    assert 3 == caught.value.exit_code
    clouds.bucket("gs://more/").refuses["sign"] = KeyUnsafe("dots")
    assert [] == warnings(clouds)


def test_a_video_of_no_source_tells_nothing_of_one(clouds: Clouds) -> None:
    """One that is resumed from an older file of the pipeline."""
    stores = Stores(pipeline())
    assert [] == list(firsts(stores, "s3://old/a.mp4"))


def test_a_selection_run_without_a_token_is_told_before_anything_is_paid(clouds: Clouds, tmp_path: Path) -> None:
    """The variable is named; with it, the run begins."""
    wanted = {"dataset_id": "0" * 24, "selection": {"nSamples": 1}}
    route = {"to": "lightly", "datasource": "az://lightly/", "task_name": "t", "selection_run": wanted}
    asking = pipeline().model_copy(update={"routes": (LightlyRoute.model_validate(route | {"name": "curation"}),)})

    with pytest.raises(InputInvalid, match="LIGHTLY_TOKEN"):
        check_places(asking, settings(tmp_path), Stores(asking), DAY)

    with_token = Settings.model_validate({"REELROUTE_RESULTS_URL": "s3://kept/", "LIGHTLY_TOKEN": "t0ken"})
    check_places(asking, with_token, Stores(asking), DAY)
