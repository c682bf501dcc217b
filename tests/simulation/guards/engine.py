"""The guards in the workers: what each protects, and the function whose change takes it away."""

from __future__ import annotations

from typing import Final

from tests.simulation.guards.guard import Edit, Guard

ENGINE: Final = (
    Guard(
        name="audit of entries",
        trace="A4",
        protects="An entry whose delivery was lost on its way to a living worker is found by that worker.",
        switch=(Edit("actors.servers.auditor:Auditor.audit", "await self._entries()", "pass"),),
        focus="replies",
    ),
    Guard(
        name="audit of what is held",
        trace="A4",
        protects="A step that was handed over by a lost answer is found and run by its worker.",
        switch=(Edit("actors.servers.auditor:Auditor.audit", "for held in listed:", "for held in ():"),),
        focus="replies",
    ),
    Guard(
        name="in hand once",
        trace="A4",
        protects="Two tasks of one worker do not run the same step.",
        switch=(
            Edit("actors.servers.hands:Hands.take", "if self.closed or held in self.held:", "if self.closed:"),
            Edit("actors.servers.auditor:Auditor.audit", " and held.token not in hands.awaited", ""),
        ),
        focus="busy",
    ),
    Guard(
        name="hearing of its death",
        trace="B6",
        protects="A worker that was declared dead stops, and goes on under another name.",
        switch=(
            Edit("heartbeat.lua", "return 'FENCED' end", "return 'OK' end"),
            Edit("actors.servers.reaper:Reaper.look", "host.on_fenced()", "pass"),
        ),
        focus="zombies",
    ),
    Guard(
        name="unbroken link",
        trace="B5",
        protects="After an outage nobody is taken for dead who could not beat during it.",
        switch=(
            Edit(
                "actors.servers.reaper:Reaper.look",
                "if self._is_silent(beats, now) or not unbroken:",
                "if not self._seen:",
            ),
        ),
        focus="outages",
    ),
    Guard(
        name="caches of a broken link",
        trace="B2",
        protects="What was cached before a link broke is not gone on with.",
        switch=(Edit("actors.servers.replicas:Replicas.fresh", "replica.epoch != self._host.epoch(address)", "False"),),
        focus="changes of mind",
    ),
    Guard(
        name="writes with the outcome",
        trace="A3",
        protects="The writes of a mutation are there exactly when its outcome is.",
        switch=(
            Edit("kernel.store.exclusive:Exclusive.complete", "payload, broken, len(writes)),", "payload, broken, 0),"),
            Edit("kernel.store.exclusive:Exclusive.complete", "words += (len(write), *write)", "pass"),
            Edit("kernel.store.exclusive:Exclusive.complete", '[("MULTI",), (', '[("MULTI",), *writes, ('),
        ),
        focus="mutations",
    ),
    Guard(
        name="watched keys",
        trace="A3",
        protects="A mutation does not write what it worked out from values that have changed since.",
        switch=(Edit("kernel.store.exclusive:Exclusive.watch", 'await self._send([("WATCH", *keys)])', "[b'OK']"),),
        focus="mutations",
    ),
    Guard(
        name="restart's past",
        trace="B10",
        protects="After a restart the code is fed just what asks for the commands that were kept.",
        switch=(
            Edit(
                "kernel.store.turns:plan_restart",
                "RestartPlan(begin, stay,",
                "RestartPlan(events[-1].id, stay,",
            ),
        ),
        focus="restarts",
    ),
    Guard(
        name="child of one generation",
        trace="A8",
        protects="An instance that was restarted gets a new child, not the canceled one of its earlier life.",
        switch=(Edit("actors.servers.delivery:child_address", "f'{seq}.{digest}'", "seq"),),
        focus="families",
    ),
    Guard(
        name="message ids",
        trace="A8",
        protects="A refusal or a cleanup that was meant for an earlier life's child does not hit the next one's.",
        switch=(Edit("actors.servers.delivery:_start_of", "|{message.token}", ""),),
        focus="families",
    ),
    Guard(
        name="suspects run alone",
        trace="A9",
        protects="A step is not convicted for the deaths that another one beside it causes.",
        switch=(
            Edit(
                "actors.servers.runner:Runner._may_begin",
                "return queued.crashes < ALONE_AT or await self._host.hands.make_way(held, reserved=room)",
                "return True",
            ),
            Edit("actors.servers.runner:Runner.start_step", "if begun.crashes >= ALONE_AT:", "if False:"),
        ),
        focus="deaths",
    ),
)
