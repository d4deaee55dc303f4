"""The server of all simulated tools."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterable
from typing import Any

from aiohttp import web

from cdi.simulator.acme_crm import AcmeCrm
from cdi.simulator.amplitude import Amplitude
from cdi.simulator.base import Handler, SimulatedTool
from cdi.simulator.braze import Braze
from cdi.simulator.ga4 import Ga4
from cdi.simulator.google_ads import GoogleAds
from cdi.simulator.hubspot import HubSpot
from cdi.simulator.intercom import Intercom
from cdi.simulator.mailchimp import Mailchimp
from cdi.simulator.meta import Meta
from cdi.simulator.mixpanel import Mixpanel
from cdi.simulator.optimizely import Optimizely
from cdi.simulator.slack import Slack
from cdi.simulator.webhook import WebhookReceiver

SIMULATED: tuple[type[SimulatedTool], ...] = (
    AcmeCrm,
    Amplitude,
    Braze,
    Ga4,
    GoogleAds,
    HubSpot,
    Intercom,
    Mailchimp,
    Meta,
    Mixpanel,
    Optimizely,
    Slack,
    WebhookReceiver,
)


class Simulator:
    """One HTTP server with every tool below a path of its own; a context manager.

    `simulator.tools["webhook"]` is what the tool holds, `simulator.environment()` what a sync needs to find it.
    """

    def __init__(self, port: int = 0, tools: Iterable[SimulatedTool] | None = None) -> None:
        self.tools = {tool.name: tool for tool in (tools or [kind() for kind in SIMULATED])}
        self.port = port
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stopped: asyncio.Event | None = None
        self._problem: OSError | None = None

    @property
    def url(self) -> str:
        """The address of the server, without a slash at its end."""
        return f"http://127.0.0.1:{self.port}"

    def url_of(self, name: str) -> str:
        """The address of a tool."""
        return f"{self.url}/{name}"

    def environment(self) -> dict[str, str]:
        """The variables that syncs to these tools read."""
        return {
            variable: value.replace("{url}", self.url_of(tool.name))
            for tool in self.tools.values()
            for variable, value in tool.environment.items()
        }

    def state(self) -> dict[str, Any]:
        """What GET /state answers: what every tool holds that was ever asked for something."""
        return {name: {**tool.state(), **tool.counts} for name, tool in sorted(self.tools.items()) if tool.counts}

    def __enter__(self) -> Simulator:
        started = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(started,), daemon=True)
        self._thread.start()
        started.wait()
        if self._problem:
            raise self._problem
        return self

    def __exit__(self, *_: object) -> None:
        if self._loop and self._stopped:
            self._loop.call_soon_threadsafe(self._stopped.set)
        if self._thread:
            self._thread.join()

    def set_environment(self) -> None:
        """Let syncs of this process, and of those it starts, find the tools."""
        os.environ.update(self.environment())

    def wait(self) -> None:
        """Serve until interrupted."""
        if self._thread:
            self._thread.join()

    def _serve(self, started: threading.Event) -> None:
        asyncio.run(self._run(started))

    async def _run(self, started: threading.Event) -> None:
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        runner = web.AppRunner(self._application(), access_log=None, shutdown_timeout=0)
        try:
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", self.port, reuse_address=True)
            await site.start()
            self.port = site._server.sockets[0].getsockname()[1]
        except OSError as error:
            self._problem = error
            return
        finally:
            started.set()
        await self._stopped.wait()
        await runner.cleanup()

    def _application(self) -> web.Application:
        app = web.Application(client_max_size=64 * 1024 * 1024)

        async def state(request: web.Request) -> web.Response:
            return web.json_response(self.state())

        app.router.add_get("/state", state)
        for tool in self.tools.values():
            for method, path, handler in tool.routes():
                app.router.add_route(method, f"/{tool.name}{path}", _handler(tool, handler))
        return app


def _handler(tool: SimulatedTool, handler: Handler) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        return await tool.handle(request, handler)

    return handle
