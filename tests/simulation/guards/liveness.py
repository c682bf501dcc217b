"""The guards of what keeps workflows going, and going alike everywhere: what each protects, and what takes it away."""

from __future__ import annotations

from typing import Final

from tests.simulation.guards.guard import Edit, Guard

FORGETFUL: Final = (
    Guard(
        name="reconciler",
        trace="B2",
        protects="What a node forgot that others have sent it is sent again.",
        switch=(
            Edit(
                "actors.servers.timekeeper:Timekeeper._promote",
                "for address in promoted.to_reconcile:",
                "for address in ():",
            ),
        ),
        focus="forgetful nodes",
    ),
    Guard(
        name="memory of what was started",
        trace="B2",
        protects="A worker does not run an action again that may run once, though the server forgot that it began it.",
        switch=(
            Edit(
                "actors.servers.runner:Runner._attempt",
                "begun.command.at_most_once and not hands.started(begun)",
                "begun.command.at_most_once and hands.started(begun) is None",
            ),
        ),
        focus="one worker",
    ),
    Guard(
        name="deposited again",
        trace="B2",
        protects="What refers to a large payload is recorded only where that is.",
        switch=(
            Edit("kernel.store.payloads:Payloads.send", "since = self._space.stamp", "since = None"),
            Edit("kernel.store.payloads:Payloads.send_decision", "since = self._space.stamp", "since = None"),
            Edit("kernel.store.steps:Steps.advance", "partial(space.actor_call_if, space.stamp)", "space.actor_call"),
        ),
        focus="large payloads",
    ),
    Guard(
        name="taken out of the gateway",
        trace="B2",
        protects="A message to the gateway is not taken out if what it brought about may be lost.",
        switch=(
            Edit(
                "actors.servers.gateway:Gateway._carry_out_for_good",
                "await store.gateway.done(entry, since=since)",
                "await store.gateway.done(entry)",
            ),
        ),
        focus="forgetful gateway",
    ),
)

FLOW: Final = (
    Guard(
        name="completion of one generation",
        trace="A7",
        protects="What is to be called on completion is called at each end, also after a restart.",
        switch=(
            Edit("actors.servers.delivery:Delivery._call_on_complete", "message.receiver_generation),\n", "'1'),\n"),
            Edit("actors.servers.delivery:Delivery._cleanup", "message.receiver_generation)", "'1')"),
        ),
        focus="ends",
    ),
    Guard(
        name="no more than it can run",
        trace="C1",
        protects="A worker begins no more steps than it has slots for.",
        switch=(
            Edit("actors.servers.runner:Runner._serve", "free = host.hands.free", "free = 100"),
            Edit("actors.servers.runner:Runner._begin", "if not room:", "if False:"),
        ),
        focus="busy",
    ),
    Guard(
        name="remembered ids",
        trace="C3",
        protects="An event is told once, also if the instance has begun anew since.",
        switch=(
            Edit(
                "fragments/anew.lua",
                "local facts, dedupes = untaken(a, list, at + 2), remembered(a)",
                "local facts, dedupes = untaken(a, list, at + 2), {}",
            ),
        ),
        focus="events",
    ),
    Guard(
        name="left to others",
        trace="C4",
        protects="A worker gives back a step whose code it does not have.",
        switch=(
            Edit(
                "actors.servers.runner:Runner._begin",
                "await host.store.steps.decline(queued, delay_ms=self._refusals.delay_ms(_key(held)))",
                "pass",
            ),
            Edit("actors.servers.runner:Runner._attempt", "await self._leave(held)", "pass"),
        ),
        focus="two versions",
    ),
    Guard(
        name="resumed by mended code",
        trace="C5",
        protects="What was stopped goes on as soon as there is code that fits.",
        switch=(Edit("actors.servers.timekeeper:Timekeeper._look_after", "await self._host.resume_stopped()", "pass"),),
        focus="mended code",
    ),
    Guard(
        name="deadlock",
        trace="C6",
        protects="An instance that awaits what nothing can bring ends.",
        switch=(Edit("actors.workflow.instance:Instance._conclude", "if commands.pending:", "if True:"),),
        focus="helpless",
    ),
    Guard(
        name="the server's time",
        trace="C7",
        protects="No wrong clock of a worker lets a timer fire early.",
        switch=(Edit("kernel.store.timers:Timers.promote", "self._space.clock", "str(self._space.now_ms())"),),
        focus="fast clocks",
    ),
    Guard(
        name="time that goes on",
        trace="C8",
        protects="To workflow code time never goes back, whatever the workers' clocks say.",
        switch=(
            Edit(
                "actors.workflow.instance:Instance.feed",
                "commands.now_ms = max(commands.now_ms, event.at_ms)",
                "commands.now_ms = event.at_ms",
            ),
        ),
        focus="wrong clocks",
    ),
    Guard(
        name="one event at a time",
        trace="C9",
        protects="Code goes on after each event, however many a worker has read at once.",
        switch=(
            Edit(
                "actors.servers.replicas:Replicas._replay",
                "self._host.watch.feed(instance, event)",
                "(instance._take if any(e.number == event.number + 1 and e.kind == event.kind == 'outcome'"
                " and {e.seq, event.seq} <= set(instance.open) for e in events)"
                " else lambda e: self._host.watch.feed(instance, e))(event)",
            ),
        ),
        focus="order",
    ),
    Guard(
        name="due once more",
        trace="C11",
        protects="Who deletes what is past its retention looks whether it still is.",
        switch=(
            Edit("cleanup.lua", "if not ended(a) then", "if not ended(a) and ARGV[3] ~= '1' then"),
            Edit("cleanup.lua", "if not due or tonumber(due) > now then return refuse('RUNNING', a) end", ""),
        ),
        focus="restarted late",
    ),
)

LIVENESS: Final = (*FORGETFUL, *FLOW)
