"""Forget what is long over: history, results of replaced versions, reports, the inbox, and what killed runs left.

Kept, whatever its age: every job, delivery and submission, so that nothing is paid twice; the results of current
versions; and everything about videos that failed, are unknown, in flight, or not delivered to every route.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic_core import PydanticCustomError

from config.settings import Settings
from config.units import DURATIONS, read_duration
from tasks.domain.errors import InputInvalid, LedgerMissing, LedgerUnusable
from tasks.kept import named_pipeline
from tasks.ledger.base import Ledger
from tasks.ledger.open import open_ledger
from tasks.owner import dead_work, living_work, work_root
from tasks.stores import open_results

OLDER_THAN = "90d"
# The shortest age: runs of today may still look at it.
SHORTEST = timedelta(days=1)
KEPT = (
    "kept: every job with what was paid for it, results of current versions, "
    "and all about videos that failed, are unknown, in flight or not delivered everywhere"
)
# Results that are deleted before the ledger notes it and is asked anew, which takes it seconds where it is large:
# as many may have to be deleted again after a kill.
_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was (or would be) removed; counts.

    Attributes:
        history: Lines of the stories of jobs that were delivered.
        shards: Shards of shared runs that were worked through.
        uploads: Entries of the inbox that are done.
        results: Stored results of replaced versions.
        reports, logs, work: Files, files and folders of this machine's home.
        compacted: Whether the ledger's file was written anew, which gives its free space back to the disk.
        warnings: What was not possible, in sentences.
    """

    history: int
    shards: int
    uploads: int
    results: int
    reports: int
    logs: int
    work: int
    compacted: bool = False
    warnings: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """As ``prune --json`` prints it."""
        return asdict(self)


def read_age(text: str) -> timedelta:
    """Read ``90d`` or ``36h``.

    Raises:
        InputInvalid: It is no duration, or shorter than a day.
    """
    try:
        age = read_duration(text)
    except PydanticCustomError:
        age = None
    if not isinstance(age, timedelta) or age < SHORTEST:
        raise InputInvalid(
            f"older than {text!r}: is not an age of a day or more", hint=f"write 90d, for example: {DURATIONS}"
        )
    return age


def prune_all(
    ledger: Ledger,
    settings: Settings,
    now: datetime,
    *,
    older_than: timedelta,
    pipeline: str | None = None,
    dry_run: bool = False,
) -> Pruned:
    """Remove what has been over for longer than ``older_than``; safe to repeat, to stop, and while runs work.

    Args:
        pipeline: Only of this one; logs and work folders, which belong to none, stay.
        dry_run: Count, and change nothing.

    Raises:
        StorageUnavailable, AccessDenied: The results store does not delete: all else is done, and the ledger still
            knows what is left there.
    """
    before, home, anybody = now - older_than, settings.home, pipeline is None
    reports = f"????????T??????-{pipeline}-????????.*" if pipeline else "*"
    living = set(living_work(settings))
    old_work = (path for path in _old(work_root(settings), "*", before) if path not in living)
    pruned = Pruned(
        history=ledger.prune_history(before, pipeline=pipeline, dry_run=dry_run),
        shards=ledger.prune_shards(before, pipeline=pipeline, dry_run=dry_run),
        uploads=ledger.prune_inbox(before, pipeline=pipeline, dry_run=dry_run),
        results=0,
        reports=_remove(_old(home / "reports", reports, before), dry_run=dry_run),
        logs=_remove(_old(home / "logs", "*", before) if anybody else (), dry_run=dry_run),
        work=_remove({*dead_work(settings), *old_work} if anybody else (), dry_run=dry_run),
    )
    pruned = pruned if dry_run else _compacted(ledger, pruned)
    # Last: it may be refused, and all else is done by then.
    return replace(pruned, results=_prune_results(ledger, settings, before, pipeline, dry_run=dry_run))


def prune_now(settings: Settings, *, pipeline: str = "", older_than: str = OLDER_THAN, dry_run: bool = False) -> Pruned:
    """Prune with the ledger and the results store that the settings name; nothing where there is no ledger yet.

    Args:
        pipeline, older_than: As people write them; "" for all pipelines.

    Raises:
        InputInvalid: There is no such pipeline, or ``older_than`` is no age of a day or more.
        LedgerUnusable, LedgerUnavailable: As the ledger is opened or read.
        StorageUnavailable, AccessDenied: As :func:`prune_all`.
    """
    age = read_age(older_than)
    name = named_pipeline(pipeline, settings).name if pipeline else None
    try:
        ledger = open_ledger(settings.ledger_url.get_secret_value(), create=False)
    except LedgerMissing:
        return Pruned(0, 0, 0, 0, 0, 0, 0)
    with closing(ledger):
        return prune_all(ledger, settings, datetime.now(UTC), older_than=age, pipeline=name, dry_run=dry_run)


def _compacted(ledger: Ledger, pruned: Pruned) -> Pruned:
    """Have the ledger give free space back; where it cannot, all else is done."""
    try:
        return replace(pruned, compacted=ledger.compact())
    except LedgerUnusable as error:
        why = f"the ledger's file keeps its size, and the free space in it for new rows: {error.message}"
        return replace(pruned, warnings=[why])


def _prune_results(ledger: Ledger, settings: Settings, before: datetime, pipeline: str | None, *, dry_run: bool) -> int:
    found, count = ledger.replaced_results(before, pipeline=pipeline), 0
    if dry_run:
        return len(found)
    store = open_results(settings)
    while found:
        batch = found[:_AT_ONCE]
        # Deleted first: what a kill or a refusal leaves behind is found again by the next prune.
        for key in {one.result_key for one in batch}:
            store.delete(key)
        ledger.forget_results([one.job_key for one in batch])
        count += len(batch)
        # Asked anew: a version may have come back meanwhile, or a copy have taken its results over.
        found = ledger.replaced_results(before, pipeline=pipeline) if len(found) > len(batch) else []
    return count


def _old(folder: Path, pattern: str, before: datetime) -> Iterator[Path]:
    """Files and folders in a folder that were changed last before a time."""
    for path in folder.glob(pattern):
        try:
            changed = datetime.fromtimestamp(path.lstat().st_mtime, UTC)
        except FileNotFoundError:  # another prune took it
            continue
        if changed < before:
            yield path


def _remove(paths: Iterable[Path], *, dry_run: bool) -> int:
    found = list(paths)
    for path in [] if dry_run else found:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return len(found)
