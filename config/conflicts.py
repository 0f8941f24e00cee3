"""Parts of a pipeline that are right alone and wrong together."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from config.annotations import ATTRIBUTES
from config.inference import Inference, project_of
from config.problems import quoted
from config.routes import LabelboxRoute, LightlyRoute, Route, VideoRoute
from config.sources import Source


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two parts that do not fit together.

    Attributes:
        path: The key to change, such as ``("routes", 1, "uri")``.
        message: What is wrong, naming the other part.
        allowed: What would be right, or "".
    """

    path: tuple[str | int, ...]
    message: str
    allowed: str = ""


def conflicts(
    sources: Mapping[int, Source], routes: Mapping[int, Route], inference: Inference | None
) -> Iterator[Conflict]:
    """Find what does not fit together, by the parts' positions in the file; without inference, in the rest."""
    for i, first in _repeats({i: source.uri for i, source in sources.items()}):
        message = f"sources[{first}] lists the same place; put both into one source"
        yield Conflict(("sources", i, "uri"), message)
    yield from _containers_of_one_name(sources)
    for i, first in _repeats({i: route.name for i, route in routes.items() if route.name}):
        yield Conflict(("routes", i, "name"), f"routes[{first}] has the same name")
    for i, first in _repeats({i: _target(route) for i, route in routes.items() if _target(route)}):
        key = _target_key(routes[i])
        yield Conflict(("routes", i, key), f"routes[{first}] writes to the same place; each would undo the other")
    for i, route in routes.items():
        if isinstance(route, VideoRoute):
            yield from _videos_found_again(i, route, sources)
        if isinstance(route, LabelboxRoute) and inference is not None:
            models = [project_of(model) for model in (inference.model, *inference.additional_models)]
            yield from _other_models(i, route, models)
        if isinstance(route, LightlyRoute) and route.input_root is not None:
            yield from _sources_outside(i, route.input_root, sources)


def _repeats(values: Mapping[int, Hashable]) -> Iterator[tuple[int, int]]:
    """(position, position of the first of that value) of every value that came before."""
    first: dict[Hashable, int] = {}
    for i, value in values.items():
        if first.setdefault(value, i) != i:
            yield i, first[value]


def _containers_of_one_name(sources: Mapping[int, Source]) -> Iterator[Conflict]:
    """Videos are known by their URI, which does not say which store's container of that name it means."""
    first: dict[str, int] = {}
    for i, source in sources.items():
        container = "/".join(source.uri.split("/", 3)[:3])
        other = sources[first.setdefault(container, i)]
        for key in ("endpoint_url", "account"):
            if getattr(source, key) != getattr(other, key):
                message = f"sources[{first[container]}] has {container} of another store; make it another pipeline"
                yield Conflict(("sources", i, "uri"), message)
                break


def _target(route: Route) -> tuple[str | None, ...] | None:
    """Where the route's files go, which no two routes may share; None if it writes none."""
    if isinstance(route, LabelboxRoute) and route.upload:
        return (route.to, route.model, route.model_run)
    store = (route.endpoint_url, route.account)
    if isinstance(route, LightlyRoute):
        return (route.to, *store, route.datasource, route.task_name)
    return (route.to, *store, route.uri) if route.uri else None


def _target_key(route: Route) -> str:
    if isinstance(route, LabelboxRoute) and route.upload:
        return "model_run"
    return "task_name" if isinstance(route, LightlyRoute) else "uri"


def _videos_found_again(i: int, route: VideoRoute, sources: Mapping[int, Source]) -> Iterator[Conflict]:
    """A copy written below a source is a new video of it: every run would pay for the last one's copies."""
    for s, source in sources.items():
        if not route.uri.startswith(source.uri):
            continue
        segments = route.uri[len(source.uri) :].rstrip("/").split("/")
        guards = ["/".join(segments[: n + 1]) + "/**" for n in range(len(segments))] if segments[0] else []
        if not set(guards) & set(source.exclude):
            advice = f", or exclude: ['{guards[0]}'] in that source" if guards else ""
            message = f"the copies would be found by sources[{s}] as new videos, and paid for"
            yield Conflict(("routes", i, "uri"), message, f"a folder outside of the source{advice}")


def _other_models(i: int, route: LabelboxRoute, models: Sequence[str]) -> Iterator[Conflict]:
    """A model that is misspelled would be treated like any other, without a word."""
    for name, model in (route.models or {}).items():
        if name not in models:
            yield Conflict(
                ("routes", i, "models", name), f"this pipeline has no model {quoted(name)}", ", ".join(models)
            )
        for d, detail in enumerate(model.details):
            others = [*ATTRIBUTES, *(other for other in models if other != name)]
            if detail.of not in others:
                path = ("routes", i, "models", name, "details", d, "of")
                yield Conflict(path, f"{quoted(detail.of)} is no other model of this pipeline", ", ".join(others))


def _sources_outside(i: int, root: str, sources: Mapping[int, Source]) -> Iterator[Conflict]:
    """LightlyOne finds predictions by the video's path below the input datasource."""
    for s, source in sources.items():
        if not source.uri.startswith(root):
            yield Conflict(
                ("routes", i, "input_root"), f"sources[{s}] is not in it", "a folder that holds every source"
            )
