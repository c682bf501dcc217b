"""What a tester leaves in memory when it is over."""

from __future__ import annotations

import gc
import weakref
from typing import TYPE_CHECKING, Any, cast

from actors.testing import WorkflowTester
from kernel.memory import memory_server

if TYPE_CHECKING:
    from actors import Step, WorkflowManager


def test_a_tester_that_is_over_leaves_neither_its_server_nor_its_lua(manager: WorkflowManager) -> None:
    @manager.workflow
    async def flow(step: Step) -> int:
        return 1

    async def scenario(tester: WorkflowTester) -> list[weakref.ref[Any]]:
        await (await tester.start(flow)).result()
        url = tester.manager.url
        assert url is not None
        server: Any = memory_server(url)
        called = cast("object", server._lua_redis_call_wrapper)  # by Lua, which Python's collector cannot look into
        return [weakref.ref(server), weakref.ref(called)]

    references = WorkflowTester(manager).play(scenario)
    gc.collect()
    assert [reference() for reference in references] == [None, None]
