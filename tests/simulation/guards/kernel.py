"""The guards in the kernel's scripts: what each protects, and the text whose change takes it away."""

from __future__ import annotations

from typing import Final

from tests.simulation.guards.guard import Edit, Guard

_ACTOR: Final = "fragments/actor.lua"

TURNS: Final = (
    Guard(
        name="status",
        trace="A1",
        protects="A decision that was made before a cancel changes nothing after it.",
        switch=(
            Edit(_ACTOR, "if not live(a) then return 'ENDED' end", ""),
            Edit("commit.lua", "if not turning(a) or ARGV[4]", "if ARGV[4]"),
            Edit("emit.lua", "if refusal or not turning(a) then", "if refusal then"),
        ),
    ),
    Guard(
        name="base",
        trace="A1",
        protects="Of two decisions on the same past one is refused.",
        switch=(Edit("commit.lua", "ARGV[4] ~= a.consumed or ", ""),),
    ),
    Guard(
        name="nobody got in between",
        trace="A1",
        protects="An outcome is recorded with the turn that follows only if nothing else came first.",
        switch=(
            Edit(
                "advance.lua",
                "ARGV[12] == a.consumed and a.consumed == a.appended",
                "ARGV[12] == a.consumed",
            ),
        ),
        focus="events",
    ),
    Guard(
        name="settle",
        trace="A2",
        protects="A wake-up is taken away only when nothing is left to do.",
        switch=(
            Edit(
                _ACTOR,
                "if turning(a) and not (a.appended == a.consumed and a.emitted == a.commands) then",
                "if false then",
            ),
        ),
    ),
    Guard(
        name="one ready entry",
        trace="A2",
        protects="An instance is woken by one entry at a time, which its record names.",
        switch=(Edit(_ACTOR, "if a.ready == '' and turning(a) then", "if turning(a) then"),),
    ),
    Guard(
        name="settle while carrying out",
        trace="A6",
        protects="While a decision is being carried out, somebody is due to go on with it.",
        switch=(
            Edit(
                _ACTOR, "not (a.appended == a.consumed and a.emitted == a.commands)", "not (a.appended == a.consumed)"
            ),
        ),
        focus="large decisions",
    ),
    Guard(
        name="reached",
        trace="B2",
        protects="A decision that took an event into account which the server has lost is refused.",
        switch=(
            Edit("commit.lua", "and #redis.call('XRANGE', a.events, reached, reached) == 0 then", "and false then"),
        ),
        focus="lost events",
    ),
    Guard(
        name="contiguous delta",
        trace="A5",
        protects="A cached instance is fed news only if they follow without a gap.",
        switch=(
            Edit("fetch.lua", "elseif not nothing and ARGV[3] ~= a.consumed then\n  return gap()\nend", "end"),
            Edit("fetch.lua", "or number_of(entries[from][1]) ~= expected then", "then"),
        ),
    ),
    Guard(
        name="staging's token",
        trace="A6",
        protects="The parts of two decisions are never mixed, and no half of one is committed.",
        switch=(
            Edit(
                "commit.lua",
                "if held[1] ~= ARGV[4] .. '|' .. ARGV[7] or tonumber(held[2]) ~= staged then",
                "if false then",
            ),
            Edit("stage.lua", "local mine = held[1] == turn and tonumber(held[2]) or 0", "local mine = 10 ^ 9"),
        ),
        focus="lost parts",
    ),
    Guard(
        name="carried out before the next",
        trace="A6",
        protects="No further decision is taken before the last one is carried out.",
        switch=(
            Edit("commit.lua", "ARGV[4] ~= a.consumed or a.emitted ~= a.commands then", "ARGV[4] ~= a.consumed then"),
        ),
        focus="large decisions",
    ),
    Guard(
        name="what is no longer wanted",
        trace="A10",
        protects="What a decision takes back leaves the place where it waits.",
        switch=(Edit("fragments/close.lua", "revoke(a, seq, o)", ""),),
    ),
    Guard(
        name="what an end leaves open",
        trace="A10",
        protects="When an instance ends, what it had asked for leaves its place.",
        switch=(Edit("fragments/ending.lua", "revoke(a, seq, o)", ""),),
    ),
    Guard(
        name="facts that nobody took",
        trace="C2",
        protects="Beginning anew loses no event.",
        switch=(
            Edit(
                "fragments/anew.lua",
                "local facts, dedupes = untaken(a, list, at + 2), remembered(a)",
                "local facts, dedupes = {}, remembered(a)",
            ),
        ),
        focus="events",
    ),
    Guard(
        name="dedupe",
        trace="C3",
        protects="An event whose answer was lost and that is sent again is told once.",
        switch=(Edit("append.lua", "if before then return { 'DUPLICATE', before } end", ""),),
        focus="events",
    ),
)

STEPS: Final = (
    Guard(
        name="owner's token",
        trace="B4",
        protects="Only who holds a step says what came of it.",
        switch=(
            Edit(
                "fragments/settle_obsolete.lua",
                "if o.worker ~= ARGV[6] or o.token ~= ARGV[7] then return nil, 'NOT_OWNER' end",
                "",
            ),
        ),
        focus="zombies",
    ),
    Guard(
        name="compare-and-set of begin",
        trace="B3",
        protects="A step that somebody runs is not begun by another who had read its entry too.",
        switch=(
            Edit("begin.lua", "if o.worker == '' then", "if true then"),
            Edit("begin.lua", "if at ~= here and at ~= here .. ':timed' then return drop() end", ""),
        ),
        focus="regroup",
    ),
    Guard(
        name="place of begin",
        trace="B3",
        protects="A queue's entry counts only if the open table names it.",
        switch=(Edit("begin.lua", "if at ~= here and at ~= here .. ':timed' then return drop() end", ""),),
        focus="regrouped queues",
    ),
    Guard(
        name="at most once",
        trace="B8",
        protects="An action that may run once and whose worker died does not run again.",
        switch=(Edit("requeue.lua", "if has(head.flags, 'o') then", "if false then"),),
        focus="deaths",
    ),
    Guard(
        name="adopt",
        trace="A4",
        protects="A listing of what is held starts nothing that has been recorded since.",
        switch=(
            Edit(
                "adopt.lua",
                "if o and o.attempt == attempt and o.worker == worker and o.token == token "
                "and redis.call('ZSCORE', K .. ':held', ARGV[1]) then",
                "o = o or { attempt = attempt, crashes = '0', begun = '0' }\nif a then",
            ),
        ),
        focus="close calls",
    ),
    Guard(
        name="forget only the empty",
        trace="B7",
        protects="A dead worker's name is deleted only when nothing is pending under it.",
        switch=(Edit("forget.lua", "if #pending > 0 then return 0 end", ""),),
        focus="close calls",
    ),
    Guard(
        name="fence by value",
        trace="B6",
        protects="A worker that has beaten since it was looked at is not declared dead.",
        switch=(
            Edit(
                "fence.lua",
                "if value and ARGV[2] ~= '' and tonumber(value) ~= tonumber(ARGV[2]) then return 'ALIVE' end",
                "",
            ),
        ),
        focus="close calls",
    ),
)

MESSAGES: Final = (
    Guard(
        name="tombstone of a cancel",
        trace="A8",
        protects="A cancel that overtakes the start of a child is not lost: the start is refused.",
        switch=(Edit("cancel.lua", "if ARGV[4] == '1' then", "if false then"),),
        focus="families",
    ),
    Guard(
        name="tombstone of a deletion",
        trace="A8",
        protects="A start that is delivered again after its child was deleted does not bring it back.",
        switch=(
            Edit(
                "create.lua",
                "string.find(known[5] or '', '\\n' .. message .. '\\n', 1, true)) then return { 'GONE' } end",
                "string.find(known[5] or '', '\\n' .. message .. '\\n', 1, true)) then known[1] = known[1] end",
            ),
        ),
        focus="families",
    ),
    Guard(
        name="deadline of a delivery",
        trace="A8",
        protects="No delivery outlives the tombstone that would refuse it.",
        switch=(Edit("create.lua", "if deadline > 0 and now > deadline then return { 'LATE' } end", ""),),
        focus="late messages",
    ),
    Guard(
        name="undelivered",
        trace="A8",
        protects="Nothing is deleted before its last message is delivered.",
        switch=(
            Edit(
                "fragments/bury.lua",
                "return tonumber(redis.call('HGET', a.record, 'undelivered') or '0') > 0 "
                "or redis.call('EXISTS', a.open) == 1",
                "return false",
            ),
        ),
        focus="families",
    ),
    Guard(
        name="sent once",
        trace="A8",
        protects="A message that two couriers have delivered is counted once.",
        switch=(Edit("sent.lua", "if existed == 0 then return 0 end", ""),),
        focus="families",
    ),
)

KERNEL: Final = (*TURNS, *STEPS, *MESSAGES)
