"""The traces on which a simpler protocol fails, by letter (A: ordinary operation, B: take-over and lost writes, C: the
rest) and number. Each guard answers one of them."""

from __future__ import annotations

from typing import Final

TRACES: Final = {
    "A1": "a worker decides, somebody cancels or decides first, the worker commits",
    "A2": "something is appended while a turn is under way, and the turn acknowledges the wake-up of both",
    "A3": "a mutation is canceled, or its answer is lost, between its writes and its outcome",
    "A4": "the answer that handed work to a worker is lost, and the worker lives",
    "A5": "a worker has an old copy; another goes on and parks, which deletes the mailbox; then news come",
    "A6": "a worker dies between two parts of a decision of many commands",
    "A7": "an instance ends, is restarted and ends again, and something is to be called at each end",
    "A8": "of messages between two instances one overtakes, repeats or outlives the other",
    "A9": "one step kills its worker again and again, others run beside it",
    "A10": "code no longer wants what it has asked for",
    "B1": "an instance ends and is restarted while a worker still decides for its earlier life",
    "B2": "a failover loses writes that were acknowledged",
    "B3": "an entry is delivered to two workers, and both begin it",
    "B4": "a worker that was taken for dead fails a step that its successor runs",
    "B5": "the server is away for a while, so nobody can beat",
    "B6": "a worker is paused for longer than its heartbeat may be silent, and comes back",
    "B7": "a worker that was taken for dead goes on reading",
    "B8": "a worker dies during an action that may run once only",
    "B10": "an instance is restarted in the middle of what it had done",
    "C1": "a worker reads more than it can start, while others are free",
    "C2": "events come while code is about to begin anew",
    "C3": "the answer to a sent event is lost, and it is sent again",
    "C4": "a step comes to a worker that does not have its code",
    "C5": "an instance was stopped, since its code did not fit, and the code is mended",
    "C6": "code awaits what nothing can bring",
    "C7": "a worker whose clock is fast moves what is due",
    "C8": "the worker of one event has a fast clock, that of the next one a slow one",
    "C9": "two workers are told the same events in other portions",
    "C11": "an instance is restarted at the moment when its retention is over",
}
