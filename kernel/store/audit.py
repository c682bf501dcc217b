"""Audit: checks on a snapshot what must always hold between the keys of a namespace, and says in words what does not.

The invariants (docs/protocol): I1 an outcome is recorded once and closes its command; I2 what lives has something
pending, in exactly the place that its open table names; I5 of what has ended nothing is left but what is being cleared
up; I6 ``held`` and the open tables agree. On a namespace in use two audits must agree before a finding counts.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

from kernel.event import event_number
from kernel.store.gateway import gateway_violations
from kernel.store.journal import is_detached, kept_events, lost_events, other_event, outcome_event, some_of
from kernel.store.snapshot import ActorKeys, Member, OpenCommand, PartitionKeys, read_partition
from kernel.store.turns import ENDED, LIVE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from kernel.store.space import Space

_REFERENCE: Final = re.compile(rb"\xc1l([0-9a-f]{40})")
DAMAGED: Final = frozenset(
    {"lost_event", "lost_command", "lost_outcome", "lost_payload", "double_event", "double_outcome", "future_event"}
)
"""Violations after which a journal cannot be replayed."""
_WITH_OUTCOME: Final = frozenset({"step", "timer", "child", "wait", "handler"})


class Violation(NamedTuple):
    """One thing that does not hold."""

    code: str
    """What kind of thing it is, in one word for programs."""
    text: str
    seq: int = 0
    """Number of the command that it is about; 0: of none."""


async def audit(space: Space) -> list[str]:
    """Return every violation in a namespace as a sentence; empty if all is well."""
    found = [await read_partition(space, tag) for tag in space.keys.tags]
    texts = [text for partition in found for text in violations(partition)]
    return [*texts, *pool_violations(found), *await gateway_violations(space)]


def violations(found: PartitionKeys) -> list[str]:
    """Return every violation in a partition as a sentence."""
    texts = list(_places(found))
    for actor in found.actors.values():
        texts += (f"{actor.address}: {one.text}" for one in actor_violations(found, actor))
        texts += (
            f"{actor.address}: {one.text}" for one in posted_violations(actor.record, posted_by(found, actor.address))
        )
    return texts


def violations_of(found: PartitionKeys, address: str) -> list[str]:
    """Return what is violated about one actor, as far as its own keys and what names it can tell."""
    actor = found.actors.get(address)
    if actor is None:
        return []
    texts = [f"{address}: {one.text}" for one in actor_violations(found, actor)]
    wanted = set(places_of(actor)) if actor.record.get("status") in LIVE | ENDED else set[tuple[str, str]]()
    for name in ("held", "delayed", "retries"):
        mine = (member for member in found.sets[name] if Member.of(member).address == address)
        texts += [f"I6: {name} {member} is nobody's" for member in mine if (name, member) not in wanted]
    for name, entries in found.streams.items():
        if name != "outbox":
            mine = (entry for entry, fields in entries.items() if fields.get("a") == address)
            texts += [f"I5: {name} {entry} is nobody's" for entry in mine if (name, entry) not in wanted]
    return texts


def actor_violations(found: PartitionKeys, actor: ActorKeys) -> Iterator[Violation]:
    """Yield what is wrong with an actor; of ``found`` only the places that it names are looked at."""
    status = actor.record.get("status")
    if status in LIVE:
        yield from _indexed(found, actor)
        yield from _journal(actor)
        yield from _pending(found, actor)
        yield from _open(found, actor)
    elif status in ENDED:
        yield from _indexed(found, actor)
        yield from _journal(actor)
        yield from _ended(found, actor)
    else:
        if actor.parts != {"record"}:
            yield Violation("leftover_keys", f"I5: deleted, but these are left: {sorted(actor.parts)}")
        if status == "gone" and not actor.expires:
            yield Violation("immortal_tombstone", "I5: its tombstone never expires")


def posted_by(found: PartitionKeys, address: str) -> int:
    """Return how many messages of an actor are in the outbox."""
    return sum(fields["from"] == address for fields in found.streams.get("outbox", {}).values())


def posted_violations(record: Mapping[str, str], posted: int) -> Iterator[Violation]:
    """Yield what is wrong with an actor's count of its messages, of which ``posted`` are in the outbox."""
    if record.get("status") not in LIVE | ENDED:
        return
    counted = record.get("undelivered", "0")
    if counted != str(posted):
        yield Violation("miscounted", f"{posted} messages in the outbox, {counted} counted")


def _indexed(found: PartitionKeys, actor: ActorKeys) -> Iterator[Violation]:
    mine = {f"{actor.record['name']}:{actor.record['status']}"}
    mine |= {f"tag:{tag}" for tag in actor.record.get("tags", "").splitlines()}
    places = {key for key, members in found.indexes.items() if actor.address in members}
    if places != mine:
        yield Violation("misindexed", f"I2: is in the indexes {sorted(places)}, not in {sorted(mine)} alone")


def _behind(actor: ActorKeys) -> bool:
    record = actor.record
    return record["appended"] != record["consumed"] or int(record["emitted"]) < int(record["commands"])


def _pending(found: PartitionKeys, actor: ActorKeys) -> Iterator[Violation]:
    """I2: whoever lives has something pending."""
    record = actor.record
    ready = record.get("ready", "")
    if ready and found.streams.get("ready", {}).get(ready, {}).get("a") != actor.address:
        yield Violation("lost_ready", f"I2: its ready entry {ready} is not in the stream")
    if record["status"] == "scheduled":
        if not _is_delayed(found, actor, "start"):
            yield Violation("never_starts", "I2: is scheduled, but nothing will start it")
    elif record["status"] == "stopped":
        if ready:
            yield Violation("idle_ready", "I2: is stopped and ready")
    else:
        yield from _turning(found, actor)
    if actor.mailbox and actor.mailbox[-1] != record["appended"]:
        yield Violation("wrong_mailbox", f"I2: its mailbox ends at {actor.mailbox[-1]}, not at {record['appended']}")


def _turning(found: PartitionKeys, actor: ActorKeys) -> Iterator[Violation]:
    ready = actor.record.get("ready", "")
    if _behind(actor):
        if not ready and not _is_delayed(found, actor, "ready"):
            yield Violation("not_ready", "I2: has something to do, but is not ready")
    elif ready:
        yield Violation("idle_ready", "I2: has nothing to do, but is ready")
    elif not actor.open:
        yield Violation("nothing_pending", "I2: has nothing pending at all")


def _is_delayed(found: PartitionKeys, actor: ActorKeys, what: str) -> bool:
    member = Member(what, actor.record["generation"], 0, 0, "", actor.address)
    return _member_text(member) in found.sets["delayed"]


def _journal(actor: ActorKeys) -> Iterator[Violation]:
    """I1, I2, I7: one event a number, each command that was carried out is open or settled."""
    record, journal = actor.record, actor.journal
    events = [outcome_event(int(f[1:]), v) for f, v in journal.items() if f[0] == "r" and f != "result"]
    events += [other_event(v) for f, v in journal.items() if f[0] == "e"]
    for number, times in Counter(event.number for event in events).items():
        if times > 1:
            yield Violation("double_event", f"I7: {times} events have the number {number}")
    ids = {event.id for event in events}
    last = event_number(record["appended"])
    if record["appended"] not in ids:
        yield Violation("lost_event", f"I2: its last event {record['appended']} is not in the journal")
    if any(event.number > last for event in events):
        yield Violation("future_event", "I7: the journal has events beyond the last one")
    yield from _counts(record)
    numbers = {event.number for event in events}
    gaps = [n for n in range(1, last + 1) if n not in numbers]
    earlier = kept_events(record.get("kept", ""), record.get("kept_events", ""))
    if lost := [n for n in lost_events(record["generation"], record["appended"], numbers, earlier) if n < last]:
        yield Violation("lost_event", f"I2: of its events these are not in the journal: {some_of(lost)}")
    kept, rewound = int(record.get("kept", "0").rstrip("*")), record.get("kept", "").endswith("*")
    for seq in range(1, int(record["commands"]) + 1):
        yield from _command(actor, seq, kept=kept, rewound=rewound, gaps=gaps)
    yield from _kept(actor, kept)
    referred = {found.decode() for field in journal.values() for found in _REFERENCE.findall(field)}
    if missing := referred - actor.large:
        yield Violation("lost_payload", f"I2: large payloads are referred to and not there: {sorted(missing)}")
    if record["status"] in ENDED and "result" not in journal:
        yield Violation("no_result", "has ended without a result")


def _counts(record: Mapping[str, str]) -> Iterator[Violation]:
    """I2: no more was consumed or carried out than there is."""
    if event_number(record["consumed"]) > event_number(record["appended"]):
        said = f"I2: its last event is {record['appended']}, but {record['consumed']} was consumed"
        yield Violation("lost_event", said)
    if int(record["emitted"]) > int(record["commands"]):
        said = f"I2: {record['emitted']} commands were carried out, but it has {record['commands']}"
        yield Violation("lost_command", said)


def _kept(actor: ActorKeys, kept: int) -> Iterator[Violation]:
    """I1: commands that a restart has dropped are there only while something is to be compared with them."""
    record, journal = actor.record, actor.journal
    settled = int(record["emitted"]) if record["status"] in LIVE else 0
    for seq, command in ((int(field[1:]), value) for field, value in journal.items() if field[0] == "k"):
        compared = f"r{seq}" in journal or is_detached(command)
        if seq <= kept and not compared and f"x{seq}" not in journal:
            yield Violation("lost_outcome", f"I2: the outcome of command {seq}, which a restart has kept, is lost", seq)
        elif not (compared and settled < seq <= kept):
            yield Violation("stale_kept", f"I1: the journal keeps a command {seq} that nothing is compared with", seq)


def _command(actor: ActorKeys, seq: int, *, kept: int, rewound: bool, gaps: Sequence[int]) -> Iterator[Violation]:
    journal = actor.journal
    command = journal.get(f"c{seq}")
    if command is None:
        yield Violation("lost_command", f"I2: command {seq} is not in the journal", seq)
        return
    is_open, answered, closed = seq in actor.open, f"r{seq}" in journal, f"x{seq}" in journal
    if is_open + answered + closed > 1:
        yield Violation("double_outcome", f"I1: command {seq} is open and settled at once, or settled twice", seq)
    kind, at, _, _, _, _, flags, *_ = command.partition(b"\n")[0].split(b"|")
    is_void = b"v" in flags and seq > kept
    done = not (is_open or answered or closed or is_void or rewound or f"k{seq}" in journal)
    emitted = seq <= int(actor.record["emitted"]) and actor.record["status"] in LIVE
    if done and emitted and kind.decode() in _WITH_OUTCOME:
        # An outcome that a restart has kept may be older than the generation; no other can.
        kept_step = kind == b"step" and seq <= kept
        since = int(at) if kept_step else max(int(at), event_number(actor.record["generation"]))
        what = f"I2: command {seq} ({kind.decode()})"
        if any(number > since for number in gaps):
            yield Violation(
                "lost_outcome", f"{what} may have been answered: its outcome, or another event, is lost", seq
            )
        else:
            yield Violation("lost_open", f"{what} was carried out, but is neither open nor settled", seq)


def _open(found: PartitionKeys, actor: ActorKeys) -> Iterator[Violation]:
    """I2, I6: every open command is in the place that it names."""
    for seq, command in actor.open.items():
        if seq > int(actor.record["emitted"]):
            yield Violation("early_open", f"I2: command {seq} is open, but was not carried out", seq)
        if not _placed(found, actor, seq, command):
            yield Violation(
                "lost_place",
                f"{'I6' if command.place.startswith('held') else 'I2'}: command {seq} is not at {command.place}",
                seq,
            )
        if bool(command.worker) != command.place.startswith("held"):
            yield Violation("wrong_owner", f"I6: command {seq} at {command.place} is owned by {command.worker!r}", seq)


def _placed(found: PartitionKeys, actor: ActorKeys, seq: int, command: OpenCommand) -> bool:
    place, generation = command.here, actor.record["generation"]
    if place in {"wait", "sent"}:
        return True
    if place.startswith("q:"):
        queue, entry, *timed = place[2:].split(":")
        fields = found.streams.get(f"q:{queue}", {}).get(entry, {})
        wanted = {"a": actor.address, "g": generation, "s": str(seq), "n": str(command.attempt)}
        waiting = Member("waiting", generation, seq, command.attempt, "", actor.address)
        return wanted.items() <= fields.items() and (not timed or _member_text(waiting) in found.sets["delayed"])
    if place.startswith("outbox:"):
        fields = found.streams.get("outbox", {}).get(place.removeprefix("outbox:"), {})
        return fields.get("from") == actor.address and fields.get("s") == str(seq)
    members = _members(command, generation, seq, actor.address)  # of what waits for a permit only its limit
    return all(_member_text(member) in found.sets[name] for name, member in members)


def _members(command: OpenCommand, generation: str, seq: int, address: str) -> list[tuple[str, Member]]:
    """Return the members of sorted sets that an open command must have."""
    token, attempt = command.token, command.attempt
    name, *marks = command.here.split(":")
    if name == "pool":
        waiting = ("delayed", Member("waiting", generation, seq, attempt, "", address))
        return [waiting] if "timed" in marks else []
    if name == "held":
        armed = [what for mark, what in (("timed", "timeout"), ("beats", "silent")) if mark in marks]
        held = ("held", Member(command.worker, generation, seq, attempt, token, address))
        return [held, *(("delayed", Member(what, generation, seq, attempt, token, address)) for what in armed)]
    what = [marks[0] if marks else "retry", *("waiting" for mark in marks[1:] if mark == "timed")]
    return [(name, Member(one, generation, seq, attempt, "", address)) for one in what]


def _member_text(member: Member) -> str:
    return f"{member.what}|{member.generation}|{member.seq:06d}|{member.attempt}|{member.token}|{member.address}"


def _ended(found: PartitionKeys, actor: ActorKeys) -> Iterator[Violation]:
    """I5: of an ended actor only record, journal, values and undelivered messages are left."""
    left = actor.parts & {"staged", "events"}
    if left:
        yield Violation("leftovers", f"I5: has ended, but these are left: {sorted(left)}")
    if actor.record.get("ready"):
        yield Violation("idle_ready", "I5: has ended and is ready")
    if actor.open and not _is_delayed(found, actor, "sweep"):
        yield Violation("unswept", "I5: has ended, and nothing clears up its open commands")


def _places(found: PartitionKeys) -> Iterator[str]:
    """I2, I5, I6, seen from the places: whatever lies in one is named by an actor."""
    wanted: set[tuple[str, str]] = set()
    for actor in found.actors.values():
        if actor.record.get("status") in LIVE | ENDED:
            wanted |= set(places_of(actor))
    for name, entries in found.streams.items():
        if name != "outbox":
            yield from (f"I5: {name} {entry} is nobody's" for entry in entries if (name, entry) not in wanted)
        yield from (
            f"I5: {name} {entry} is pending, but deleted" for entry in found.pending[name] if entry not in entries
        )
    for name, members in found.indexes.items():
        lost = (one for one in members if one not in found.actors or found.actors[one].record.get("status") == "gone")
        yield from (f"I5: the index {name} has {one}, which is gone" for one in lost)
    for name, members in found.sets.items():
        yield from (f"I6: {name} {member} is nobody's" for member in members if (name, member) not in wanted)
    for entry, fields in found.streams.get("outbox", {}).items():
        if fields["from"].startswith("pool/"):
            continue
        status = found.actors[fields["from"]].record.get("status") if fields["from"] in found.actors else None
        if status not in LIVE | ENDED:
            yield f"I5: outbox {entry} is of {fields['from']}, which is gone"


def pool_violations(found: Sequence[PartitionKeys]) -> Iterator[str]:
    """Yield what is wrong between pools and those who ask them (I8), which lie in any partition: all must be given.

    A permit that is out is named by its step, or a message about it is on its way; who waits for one is in the pool, or
    its message is. Whoever the pool lets wait in vain gives its permit back when it comes.
    """
    wanted, told = set[tuple[str, str]](), set[tuple[str, str]]()
    for partition in found:
        told |= {
            permit for entry, fields in partition.streams.get("outbox", {}).items() for permit in _told(entry, fields)
        }
        wanted |= {
            (pool, _permit_member(actor, seq, command, ask))
            for actor in partition.actors.values()
            for seq, command in actor.open.items()
            for pool, _, ask in [command.permit.partition(":")]
            if pool
        }
    pools = [(name, pool) for partition in found for name, pool in partition.pools.items()]
    held = {(name, member) for name, pool in pools for member in pool.held}
    waiting = {(name, member) for name, pool in pools for member in pool.waiting}
    for name, member in sorted(held - wanted - told):
        yield f"I8: the pool {name} has given a permit to {member}, which has none"
    for name, member in sorted(wanted - held - waiting - told):
        yield f"I8: {member} has, or waits for, a permit of the pool {name}, which does not know of it"
    for name, member in sorted(held & waiting):
        yield f"I8: in the pool {name} {member} has a permit and waits for one"
    for name, pool in pools:
        room = int(pool.fields.get("limit", "0")) - len(pool.held)
        if room > 0 and pool.waiting:
            yield f"I8: in the pool {name} {len(pool.waiting)} wait though {room} permits are free"


def _permit_member(actor: ActorKeys, seq: int, command: OpenCommand, ask: str) -> str:
    generation = actor.record.get("generation", "")
    return _member_text(Member("permit", generation, seq, command.attempt, ask, actor.address))


def _told(entry: str, fields: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the permit that a message is about."""
    what = fields["w"]
    if what in {"acquire", "grant", "free"}:
        granted = what == "grant"
        pool, address = (fields["from"], fields["to"]) if granted else (fields["to"], fields["from"])
        ask = entry if what == "acquire" else fields["t"]
        member = Member("permit", fields["g"], int(fields["s"]), int(fields["n"]), ask, address)
        yield pool.partition("/")[2], _member_text(member)


def places_of(actor: ActorKeys) -> Iterator[tuple[str, str]]:
    """Yield every (place, entry or member) that an actor may have."""
    record, address, generation = actor.record, actor.address, actor.record["generation"]
    if record.get("ready"):
        yield "ready", record["ready"]
    whats = {"start", "deadline"} if record["status"] == "scheduled" else {"ready", "deadline", "reconcile"}
    if record["status"] in ENDED:
        whats = {"sweep"} if actor.open or "doomed" in record else set[str]()
        yield "expiry", address
    for what in whats:
        yield "delayed", _member_text(Member(what, generation, 0, 0, "", address))
    for seq, command in actor.open.items():
        if command.here.startswith("q:"):
            queue, entry, *timed = command.here[2:].split(":")
            yield f"q:{queue}", entry
            if timed:
                yield "delayed", _member_text(Member("waiting", generation, seq, command.attempt, "", address))
        elif ":" in command.here or command.here in {"held", "retries"}:
            for name, member in _members(command, generation, seq, address):
                yield name, _member_text(member)
