"""Whether the service has taken a job, by what came back for the job request.

A job is paid for once it is taken, and the request has no idempotency key: only what provably never
reached the service may be sent again. "Its own JSON" is an object with an ``error``, ``message`` or
``detail``; a proxy, a captive portal or a broken gateway answers with a page, or with nothing. Gateways
in front of APIs speak JSON, too, and may do so after they have handed the request on: so a 408, 425 or
503 is the service's own refusal only in a shape that it alone uses, a code word beside a message (ours)
or an error that comes with a hint (Roboflow's). A 429 counts requests before they are handed on.

    what came back                                   taken?   raised               the job is then
    ------------------------------------------------------------------------------------------------
    no connection (name, TCP, TLS, proxy)            no       ServiceUnavailable   planned, tried again
    sent, and then a reset, a time-out, garbage      perhaps  SubmissionUnknown    unknown
    2xx with a job id                                yes                           submitted
    2xx with anything else, a page too               perhaps  SubmissionUnknown    unknown
    303 (it is done, look there)                     perhaps  SubmissionUnknown    unknown
    any other 3xx                                    no       NotTheService        planned
    401, 403                                         no       AuthRefused          planned, the run stops
    402, 423                                         no       PlanRefused          planned, the run stops
    407, 511 (only proxies and portals say so);      no       NotTheService        planned
      405, 421, 426, 431 (no word about a video)
    429 in its own JSON; 408, 425, 503 in a shape    no       RateLimited (429),   planned, tried again
      of its own; all with a readable Retry-After              ServiceUnavailable
    408, 425, 429, 503 otherwise; 460, 499 (a        perhaps  SubmissionUnknown    unknown
      balancer believes that we hung up)
    any other 4xx in its own JSON                    no       RequestRefused       failed
    any other 4xx                                    no       NotTheService        planned
    any other 5xx (a gateway gave up, it broke)      perhaps  SubmissionUnknown    unknown

An answer whose body broke off is no JSON: it counts by its status. Several ``NotTheService`` or
``SubmissionUnknown`` in a row stop the run (:mod:`tasks.breaker`).
"""

from __future__ import annotations

from datetime import datetime

from tasks.domain.errors import NotTheService, ReelrouteError, SubmissionUnknown
from tasks.inference.answers import Answer, Discretion, refusal, retry_after_s, spoken
from tasks.inference.wire import failure_code, job_id

_NOW_OR_LATER = (408, 425, 429, 503)
_KEY_OR_PLAN = (401, 402, 403, 423)
_BY_OTHERS = (405, 407, 421, 426, 431, 460, 499, 511)
_BY_OTHERS_LATE = (303, 460, 499)  # perhaps after they have handed the request on


def taken_job(what: str, answer: Answer, show: Discretion, now: datetime) -> str:
    """The id of the job that the service has taken.

    Raises:
        SubmissionUnknown: It may have taken one.
        NotTheService, AuthRefused, PlanRefused, RateLimited, ServiceUnavailable, RequestRefused: It has not.
    """
    value = answer.json_object() or {}
    if 200 <= answer.status < 300:
        if created := job_id(value.get("job_id")):
            return created
        said = show(spoken(value))
        raise SubmissionUnknown(f"{what}: the service accepted it but gave no job id" + (f" ({said})" if said else ""))
    raise _not_taken(what, answer, show, now)


def _not_taken(what: str, answer: Answer, show: Discretion, now: datetime) -> ReelrouteError:
    status, wait_s = answer.status, retry_after_s(answer.headers.get("Retry-After"), now)
    late, can_wait = status in _BY_OTHERS_LATE, status in _NOW_OR_LATER
    if is_foreign(answer) and not late:
        return not_the_service(what, answer, show)
    if (wait_s is not None or _is_own_refusal(answer)) if can_wait else 400 <= status < 500 and not late:
        return refusal(what, status, show(answer.words()), wait_s)
    return SubmissionUnknown(f"{what}: {_answered(answer, show)}, which does not tell if the service took it")


def _is_own_refusal(answer: Answer) -> bool:
    """Whether it is the service itself that takes nothing now, told as no gateway in front of it does."""
    if answer.status == 429:
        return answer.is_own
    value = answer.json_object() or {}
    error, message = value.get("error"), value.get("message")
    if isinstance(error, dict):
        return all(error.get(name) and isinstance(error[name], str) for name in ("message", "hint"))
    return bool(failure_code(error)) and isinstance(message, str) and bool(message)


def is_foreign(answer: Answer) -> bool:
    """Whether something else than the service answered; it has handed no request on, but for ``_BY_OTHERS_LATE``."""
    if answer.status in _BY_OTHERS or 300 <= answer.status < 400:
        return True
    by_status = answer.status in (*_KEY_OR_PLAN, *_NOW_OR_LATER) or not 400 <= answer.status < 500
    return not by_status and not answer.is_own


def not_the_service(what: str, answer: Answer, show: Discretion) -> NotTheService:
    """What an answer means that is a redirect, or an error without the service's own JSON."""
    return NotTheService(f"{what}: {_answered(answer, show)}, and not in the service's own words")


def _answered(answer: Answer, show: Discretion) -> str:
    words = show(answer.words())
    return f"the answer was {answer.status}" + (f" ({words})" if words else "")
