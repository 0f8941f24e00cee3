"""Our own service as a subprocess: started, announced, watched, and always gone afterwards."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
from pydantic import SecretStr

from tasks.domain.errors import InputInvalid, ModelInvalid, ServiceUnavailable
from tasks.inference.local import LARGEST_LOG, LocalService, local_service

KEY = SecretStr("key-MARKED-SECRET-key")
READY = "import json, os, sys, time\nprint(json.dumps({'url': 'http://127.0.0.1:4711/'}), flush=True)\n"
UNTIL_STDIN_CLOSES = READY + "sys.stdin.read()\n"


def command(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def alive(pid: int) -> bool:
    """Whether a process is still running (a zombie that nobody waits for here is not)."""
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def tail_of(service: LocalService) -> str:
    return service.log_file.read_text()


async def test_the_service_runs_as_long_as_the_block(tmp_path: Path) -> None:
    """It gets key and state folder by environment, says where it is, and leaves when its stdin closes."""
    code = READY.replace(
        "print", "print(os.environ['REELROUTE_HOME'], len(sys.argv), file=sys.stderr, flush=True); print", 1
    )
    code += (
        "assert os.environ['ROBOFLOW_API_KEY'] == 'key-MARKED-SECRET-key'\nsys.stdin.read()\nsys.stderr.write('bye')\n"
    )
    async with local_service(command(code), home=tmp_path, api_key=KEY) as service:
        assert (service.base_url, service.api_key) == ("http://127.0.0.1:4711", KEY)
        seen = [service.running]
        assert "MARKED" not in repr(service)
    assert [*seen, service.running] == [True, False]
    assert service.log_file == tmp_path / "logs" / "inference-service.log"
    assert tail_of(service).startswith(f"{tmp_path} 1\n")
    assert service.log_file.stat().st_mode & 0o077 == 0


async def test_what_else_it_prints_is_of_no_account(tmp_path: Path) -> None:
    """Lines before the announcement are skipped, and later ones never fill the pipe."""
    code = "print('warming up'); print('[1]'); print('x' * 300_000); print('{\"url\": 3}')\n" + READY
    code += "print('y' * 1_000_000, flush=True); sys.stderr.write('printed'); sys.stderr.flush(); sys.stdin.read()\n"
    async with local_service(command(code), home=tmp_path, api_key=KEY) as service:
        async with asyncio.timeout(20):
            while "printed" not in tail_of(service):  # noqa: ASYNC110 (another process writes it)
                await asyncio.sleep(0.02)
        assert service.running


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import sys; sys.exit('no model; key=key-MARKED-SECRET-key https://x/?sig=MARKED-SECRET')", "exit code 1"),
        ("import os; os.close(1); os._exit(3)", "exit code 3"),
        ("print('{}')", "exit code 0"),
    ],
)
async def test_a_service_that_dies_at_start_says_why(tmp_path: Path, code: str, words: str) -> None:
    """The end of its log is in the error, without secrets, and the hint names the log."""
    with pytest.raises(ServiceUnavailable, match=words) as caught:
        async with local_service(command(code), home=tmp_path, api_key=KEY):
            raise AssertionError("never reached")
    assert "MARKED" not in caught.value.message
    assert ("no model" in caught.value.message) == ("no model" in code)
    assert "inference-service.log" in caught.value.hint


async def test_only_the_end_of_this_start_is_told(tmp_path: Path) -> None:
    """What earlier services logged stays in the file; a log that grew too large is put aside."""
    for code in ("raise SystemExit('the first')", "raise SystemExit('the second')"):
        with pytest.raises(ServiceUnavailable) as caught:
            async with local_service(command(code), home=tmp_path, api_key=KEY):
                pass
    assert "second" in caught.value.message
    assert "first" not in caught.value.message
    log = tmp_path / "logs" / "inference-service.log"
    assert log.read_text().split() == ["the", "first", "the", "second"]
    os.truncate(log, LARGEST_LOG + 1)
    async with local_service(command(UNTIL_STDIN_CLOSES), home=tmp_path, api_key=KEY):
        assert log.stat().st_size == 0
    assert (tmp_path / "logs" / "inference-service.log.old").stat().st_size == LARGEST_LOG + 1


async def test_a_service_that_is_never_ready_is_stopped(tmp_path: Path) -> None:
    """Time limits the wait, and nothing is left running."""
    code = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    with pytest.raises(ServiceUnavailable, match="not ready after 2 s"):
        async with local_service(command(code), home=tmp_path, api_key=KEY, ready_timeout=timedelta(seconds=2)):
            pass
    assert not alive(int((tmp_path / "pid").read_text()))


@pytest.mark.parametrize("name", ["no-such-program", "."])
async def test_a_command_that_cannot_start_is_our_error(tmp_path: Path, name: str) -> None:
    """A missing program is no traceback of asyncio's."""
    with pytest.raises(ServiceUnavailable, match="cannot start"):
        async with local_service([str(tmp_path / name)], home=tmp_path, api_key=KEY):
            pass


async def test_a_service_that_will_not_go_is_killed_with_its_workers(tmp_path: Path) -> None:
    """Neither closing stdin nor SIGTERM helps: it and its children are killed."""
    code = "import signal, subprocess\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    code += "import sys; worker = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
    code += f"open({str(tmp_path / 'pids')!r}, 'w').write(f'{{__import__(\"os\").getpid()}} {{worker.pid}}')\n"
    code += READY + "time.sleep(600)\n"
    async with local_service(command(code), home=tmp_path, api_key=KEY, stop_timeout=timedelta(seconds=0.3)):
        pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
        assert [alive(pid) for pid in pids] == [True, True]
    async with asyncio.timeout(10):
        while any(map(alive, pids)):  # noqa: ASYNC110 (init reaps the worker)
            await asyncio.sleep(0.02)


async def test_a_service_that_dies_meanwhile_is_seen(tmp_path: Path) -> None:
    """``running`` tells; leaving the block afterwards is no error."""
    async with local_service(command(READY + "os._exit(9)\n"), home=tmp_path, api_key=KEY) as service:
        async with asyncio.timeout(10):
            while service.running:  # noqa: ASYNC110 (there is nothing to wait on but the process)
                await asyncio.sleep(0.02)


async def test_an_error_in_the_block_stops_the_service_too(tmp_path: Path) -> None:
    """The block's own exception comes through; the process is gone."""
    with pytest.raises(ZeroDivisionError):
        async with local_service(command(UNTIL_STDIN_CLOSES), home=tmp_path, api_key=KEY) as service:
            raise ZeroDivisionError
    assert not service.running


async def test_a_cancelled_run_stops_the_service_too(tmp_path: Path) -> None:
    """Cancelling the block does not leave a process behind."""
    started: list[LocalService] = []
    inside = asyncio.Event()

    async def run() -> None:
        async with local_service(command(UNTIL_STDIN_CLOSES), home=tmp_path, api_key=KEY) as service:
            started.append(service)
            inside.set()
            await asyncio.sleep(600)

    task = asyncio.create_task(run())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not started[0].running


async def test_an_interrupt_from_the_keyboard_is_not_for_the_service(tmp_path: Path) -> None:
    """It runs in a session of its own, so Ctrl-C reaches us first and we stop it in order."""
    code = READY.replace("'http", "str(os.getsid(0) == os.getpid()) + ' http", 1) + "sys.stdin.read()\n"
    async with local_service(command(code), home=tmp_path, api_key=KEY) as service:
        assert service.base_url.startswith("True ")


@pytest.mark.parametrize(("code", "kind"), [("model_invalid", ModelInvalid), ("input_invalid", InputInvalid)])
async def test_what_the_service_refuses_is_refused_in_its_words(
    code: str, kind: type[InputInvalid | ModelInvalid], tmp_path: Path
) -> None:
    """A model of no known layout is the user's to mend, exit code 2, and no service out of reach."""
    said = {"error": {"code": code, "message": "no layout [1, 300, 6]", "hint": "export it"}, "exit_code": 2}
    with pytest.raises(kind, match=r"^no layout \[1, 300, 6\]$") as caught:
        async with local_service(
            command(f"print({json.dumps(json.dumps(said))})\nexit(2)"), home=tmp_path, api_key=KEY
        ):
            raise AssertionError
    assert (2, "export it") == (caught.value.exit_code, caught.value.hint)


async def test_a_service_that_cannot_go_on_for_other_reasons_is_out_of_reach(tmp_path: Path) -> None:
    """Only what is wrong with the arguments is."""
    said = {"error": {"code": "service_unavailable", "message": "port taken", "hint": ""}, "exit_code": 3}
    with pytest.raises(ServiceUnavailable):
        async with local_service(
            command(f"print({json.dumps(json.dumps(said))})\nexit(3)"), home=tmp_path, api_key=KEY
        ):
            raise AssertionError
