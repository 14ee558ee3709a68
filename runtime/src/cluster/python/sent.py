"""A task that was sent to the cluster, with the calls in it, until it has ended."""

import threading

from . import outcome

CANCELLED = outcome.failed("Cancelled", "the task was cancelled")


class Sent:
    """One or more calls that are one task of the cluster."""

    def __init__(self, group, bridge, line):
        self.group = group
        self.bridge = bridge
        # The line that counts it while it is under way, if one does.
        self.line = line
        # What the engine cancels by; the engine's to set.
        self.task = None
        self.cancelled = set()
        # Those that take along what they have submitted.
        self.with_children = set()
        self.has_ended = False
        self.ended_calls = 0
        self.wanted = True
        self.is_forced = False
        self.lock = threading.Lock()

    def begin(self, task):
        """The task goes to the cluster only now. False: nobody wants it any more."""
        with self.lock:
            self.task = task
            return self.wanted

    def ended(self, outcomes):
        """The task has ended: with the outcomes of its calls, or one that is all theirs. Where there is None, that of the
        call comes later, in the same way. Any thread."""
        if isinstance(outcomes, tuple) and outcomes and isinstance(outcomes[0], int):
            outcomes = [outcomes] * len(self.group)
        with self.lock:
            self.ended_calls += sum(result is not None for result in outcomes)
            if self.ended_calls == len(self.group):
                self.has_ended = True
                self.task = None
            line, self.line = self.line, None
        if self.is_forced:
            # Its worker died as it was to.
            outcomes = [CANCELLED if outcome.is_crash(result) else result for result in outcomes]
        ended = [(task, result) for task, result in zip(self.group, outcomes) if result is not None]
        for task, result in ended:
            self.bridge.fuser.learn(task.function, result)
        self.bridge.completed_all((task.id, result) for task, result in ended if task.id not in self.cancelled)
        self.bridge.went_on(line)

    def cancel(self, id, force, children):
        """Cancels a call. The task goes on while other calls in it are wanted; then the result is for nobody."""
        with self.lock:
            if self.has_ended or id in self.cancelled:
                return
            self.cancelled.add(id)
            if children:
                self.with_children.add(id)
            ids = [task.id for task in self.group]
            spared = [id for id in ids if id not in self.with_children]
            self.is_forced |= force
            self.wanted = len(self.cancelled) < len(self.group)
            task = self.task
            if len(self.group) == 1:
                # How it ended tells the engine: it may be done before it is asked.
                self.cancelled.clear()
        if not self.wanted:
            self.bridge.engine.cancel(task, ids, force, spared)
        if len(self.group) > 1:
            self.bridge.completed(id, CANCELLED)
