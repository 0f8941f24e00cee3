"""Pipelines by name, also those that have no file: what somebody filled into a form is kept in the ledger."""

from __future__ import annotations

from datetime import UTC, datetime

from config.form import PREFIX, Form, pipeline_from_text, pipeline_text
from config.load import load_pipeline
from config.pipeline import Pipeline
from config.problems import PipelineInvalid
from config.settings import Settings
from tasks.domain.errors import InputInvalid, LedgerMissing
from tasks.ledger.open import open_ledger


def named_pipeline(name: str, settings: Settings) -> Pipeline:
    """Read the pipeline that ``name`` means: a file, or else what a form of that name said.

    Raises:
        PipelineInvalid: The file has mistakes.
        InputInvalid: There is neither.
    """
    try:
        return load_pipeline(name)
    except PipelineInvalid:
        raise
    except InputInvalid:
        text = _kept(name, settings) if name.startswith(PREFIX) else None
        if text is None:
            raise
        return pipeline_from_text(text)


def keep_form(form: Form, settings: Settings) -> str:
    """Check a form, remember it in the ledger, and return its pipeline's name: whoever has the ledger can go on.

    Raises:
        PipelineInvalid, InputInvalid: The form has mistakes, or too little in it.
    """
    text = pipeline_text(form)
    name = pipeline_from_text(text).name
    ledger = open_ledger(settings.ledger_url.get_secret_value())
    try:
        ledger.keep_pipeline(name, text, datetime.now(UTC))
    finally:
        ledger.close()
    return name


def _kept(name: str, settings: Settings) -> str | None:
    try:
        ledger = open_ledger(settings.ledger_url.get_secret_value(), create=False)
    except LedgerMissing:
        return None
    try:
        return ledger.kept_pipeline(name)
    finally:
        ledger.close()
