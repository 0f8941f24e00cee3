"""Run a flow so that SIGTERM and Ctrl-C wind it down instead of tearing it apart.

The flow runs in a thread of its own. Prefect installs its own SIGTERM handler where a flow runs
in the main thread, one that breaks off whatever is under way; in another thread it leaves signals
alone, and the main thread is free to hear them.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from types import FrameType
from typing import Any, Generic, NoReturn, TypeVar

from tasks.stop import Stop, stop

T = TypeVar("T")

# From the signal to the end of the process, whatever hangs.
LONGEST_S = 9.0
SIGNALS = (signal.SIGTERM, signal.SIGINT)


def run_stoppable(flow: Callable[[], Coroutine[Any, Any, T]], say: Callable[[str], None]) -> T:
    """Run a flow to its end and return its result; a signal makes it end early, in order.

    After a first signal the process ends within ten seconds, after a second one at once. Neither
    loses anything: the ledger says at every instant how to go on.

    Args:
        say: Tells people something.

    Raises:
        SystemExit: A signal came, and the flow could not end in order.
    """
    return _Stoppable(flow, say).run()


class _Stoppable(Generic[T]):
    """One flow, the thread that it runs in, and what becomes of it when a signal comes."""

    def __init__(self, flow: Callable[[], Coroutine[Any, Any, T]], say: Callable[[str], None]) -> None:
        self._flow = flow
        self._say = say
        self._stop = Stop()
        self._signal = 0
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self) -> T:
        """Run the flow, with the signals ours meanwhile."""
        context = contextvars.copy_context()
        context.run(stop.set, self._stop)
        before = {number: signal.signal(number, self._hear) for number in SIGNALS}
        pool = ThreadPoolExecutor(1, thread_name_prefix="flow")
        try:
            running = pool.submit(context.run, self._work)
            _wait(running)
        finally:
            for number, handler in before.items():
                # Once stopped, the process only has to print and leave; nothing may break that off.
                signal.signal(number, signal.SIG_IGN if self._signal else handler)
        if self._signal and running.exception() is not None:
            self._say("stopped; run the same command again to go on")
            raise SystemExit(128 + self._signal)
        return running.result()

    def _work(self) -> T:
        # A terminal sends Ctrl-C to every process. Those started from here on, such as a Prefect server of the
        # run's own or a local cluster, inherit that they do not hear it: winding down needs them.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        runner = asyncio.Runner()
        try:
            return runner.run(self._main())
        finally:
            # Closing waits for threads. Whoever has been told to stop does not: the process is about to end.
            if not self._signal:
                runner.close()

    async def _main(self) -> T:
        self._loop = asyncio.get_running_loop()
        if self._signal:  # it came before there was a loop
            self._stop.ask(self._signal)
        return await self._flow()

    def _hear(self, number: int, _frame: FrameType | None) -> None:
        if self._signal:
            leave(128 + number)
        self._signal = number
        last = threading.Timer(LONGEST_S, self._give_up)
        last.daemon = True
        last.start()
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop has ended this very moment
                self._loop.call_soon_threadsafe(self._stop.ask, number)
        self._say("stopping: what is under way is finished, nothing else is begun; once more to leave at once")

    def _give_up(self) -> None:
        self._say("left, as something did not end in time; run the same command again to go on")
        leave(128 + self._signal)


def _wait(running: Future[Any]) -> None:
    """Return when the flow has ended; hear signals meanwhile, whichever thread the kernel gives them to.

    A lock, which is what :func:`concurrent.futures.wait` waits for, sleeps on when another thread has got the signal.
    """
    awake, wake = socket.socketpair()
    with awake, wake:
        wake.setblocking(False)
        before = signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)

        def ended(_: Future[Any]) -> None:
            with suppress(OSError):  # a signal has woken us already
                wake.send(b"\0")

        try:
            running.add_done_callback(ended)
            while not running.done():
                awake.recv(1)
        finally:
            signal.set_wakeup_fd(before)


def leave(code: int) -> NoReturn:
    """End the process now, threads or not; a Prefect server that was started for the run goes with it."""
    server = sys.modules.get("prefect.server.api.server")
    if server is not None:
        for started in tuple(server.SubprocessASGIServer._instances.values()):
            process = started.server_process
            if process is not None:
                process.kill()
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        give_terminal_back()
        sys.stderr.flush()
    os._exit(code)


def give_terminal_back() -> None:
    """Show the cursor that bars hide, and go to a line of its own below them."""
    # While bars show, rich has put a stand-in into the place of stderr, which takes escape codes for text.
    terminal = getattr(sys.stderr, "rich_proxied_file", None)
    if terminal is not None:
        terminal.write("\n\x1b[?25h")
        terminal.flush()
