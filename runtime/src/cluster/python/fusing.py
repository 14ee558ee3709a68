"""Which short calls go to the cluster as one task.

A cluster's task costs some milliseconds, whatever it does, so calls that take no more than some of these are worth sending
together. What is sent together shares its place and its fate, so only those calls are that are known to be short, wait
for nothing, ask for the same and need the same objects, which are stored; their number and the time that they are
expected to take are bounded; and nothing is fused that would leave a CPU without work.

Of a function that is not known yet, as many calls go out as keep every CPU busy, and the others wait for what
those tell: a moment, at most.

Calls of an actor go in their order, and those that are known to be short go together: while some are under way, the next
ones gather.

What was short may take its time today, and even wait for one of the calls that wait for it here. So nothing waits for long
while nothing ends.
"""

import collections
import dataclasses
import time

from . import outcome

# The most calls in a task.
CALLS_MAX = 64
# How long the calls of a task are expected to take together, at most.
SECONDS_MAX = 0.2
# A group that takes so long costs little beside that.
SHARE_SECONDS = 0.02
# A call is short if those before it took less, on average.
SHORT_SECONDS = 0.03
# After so many results it is known how long a function takes.
KNOWN_AFTER = 3
# A result is small if it is at most so large: it comes with the news of its completion.
SMALL_BYTES = 16 * 1024
# A function that takes longer is known to be long by its first call.
LONG_SECONDS = 0.05
# How long calls wait while nothing ends, at most; and those of an actor.
WAIT_SECONDS = 1.0
ACTOR_WAIT_SECONDS = 0.1
# How much a call counts in the average that was quicker than it, or slower: a busy machine makes calls slow, and
# nothing makes them quick.
WEIGHT_QUICK = 0.5
WEIGHT_SLOW = 0.05
# So many groups of an actor's calls keep it busy: while one runs there, the next is on its way.
ACTOR_GROUPS_MAX = 2
# How long those of one group are expected to take together, at most.
ACTOR_SECONDS_MAX = 0.1
# How many functions are remembered.
FUNCTIONS_MAX = 10_000


@dataclasses.dataclass
class Known:
    """What is known of a function from the calls that have ended."""

    begun: int = 0
    ended: int = 0
    seconds: float = 0.0
    largest: int = 0
    # One of its calls has waited for others: for one behind it in a group it would wait for ever.
    waits: bool = False
    # Its calls give streams: what comes of one waits for its reader.
    streams: bool = False


class Fuser:
    """Knows how long the calls of each function took."""

    def __init__(self, cpus):
        self.functions = {}
        # How many calls of one function keep every CPU busy, with one more behind each.
        self.probes_max = max(KNOWN_AFTER, 2 * int(cpus))

    def learn(self, function, result):
        """A call of the function has ended with this outcome."""
        status, payload, _, seconds = result
        size = payload if status == outcome.REMOTE else len(payload) if status == outcome.VALUE else 0
        known = self._known(function)
        known.ended += 1
        known.largest = max(known.largest, size)
        if seconds is None:
            known.waits = True
            return
        if known.ended == 1:
            known.seconds = seconds
        weight = WEIGHT_QUICK if seconds < known.seconds else WEIGHT_SLOW
        known.seconds += weight * (seconds - known.seconds)

    def _known(self, function):
        known = self.functions.get(function)
        if known is None:
            if len(self.functions) >= FUNCTIONS_MAX:
                self.functions.clear()
            known = self.functions[function] = Known()
        return known

    def is_known(self, function):
        """Whether it is known how long its calls take, or at least that they are long."""
        known = self._known(function)
        return known.ended >= KNOWN_AFTER or known.waits or (known.ended > 0 and known.seconds > LONG_SECONDS)

    def probes(self, function):
        """Whether one more call of a function that is not known yet may go; it is counted."""
        known = self._known(function)
        known.begun += 1
        return known.begun <= self.probes_max

    def is_small(self, function):
        """Whether its results are known to be small."""
        known = self.functions.get(function)
        return known is not None and known.ended >= KNOWN_AFTER and known.largest <= SMALL_BYTES

    def is_short(self, function):
        """Whether its calls are known to be short, and their results small."""
        if not self.is_small(function):
            return False
        known = self.functions[function]
        return known.seconds <= SHORT_SECONDS and not known.streams and not known.waits

    def gives_items(self, function):
        """A call of the function has given an item of a stream."""
        self._known(function).streams = True

    def calls_max(self, function):
        """How many calls of the function may go together."""
        if not self.is_short(function):
            return 1
        return max(1, min(CALLS_MAX, int(SECONDS_MAX / max(self.functions[function].seconds, 1e-6))))


class Waiting:
    """Calls that wait, in order."""

    def __init__(self):
        self.tasks = collections.deque()
        # When the last were sent, or the first one came.
        self.since = time.monotonic()


class Line:
    """Calls that wait to be sent: for what the first ones of their function tell, or for a place among the groups
    that are under way. While they wait more come, so that groups are as large as calls come fast."""

    def __init__(self, fuser, cpus):
        self.fuser = fuser
        self.cpus = max(1, int(cpus))
        # So many groups under way keep every CPU busy until the news of one have come and another has gone.
        self.under_way_max = max(8, 4 * self.cpus)
        self.under_way = 0
        # When one of them ended.
        self.ended_at = 0.0
        # By function, options and what they need; and the ids of all.
        self.waiting = {}
        self.ids = set()

    def add(self, task):
        key = (task.function, task.options_key, tuple(task.needs))
        waiting = self.waiting.get(key)
        if waiting is None:
            waiting = self.waiting[key] = Waiting()
        waiting.tasks.append(task)
        self.ids.add(task.id)

    def take(self):
        """The groups that are to be sent now, each with this line, if it counts them as under way."""
        groups = []
        for key, waiting in list(self.waiting.items()):
            function, tasks, before = key[0], waiting.tasks, len(groups)
            most = self.fuser.calls_max(function)
            while tasks:
                if not self.fuser.is_known(function):
                    if not self.fuser.probes(function):
                        break
                    size, counts = 1, None
                elif most == 1:
                    size, counts = 1, None
                elif self.under_way < self.under_way_max:
                    size, counts = min(most, self._share(len(tasks), function)), self
                    self.under_way += 1
                else:
                    break
                groups.append((self._pop(tasks, size), counts))
            if not tasks:
                del self.waiting[key]
            elif len(groups) > before:
                waiting.since = time.monotonic()
        return groups

    def overdue(self):
        """What has waited for so long that it goes now, each call by itself."""
        groups, now = [], time.monotonic()
        for key, waiting in list(self.waiting.items()):
            # What is not known waits for the first calls of its function, and all else for those that are under way.
            since = max(waiting.since, self.ended_at) if self.fuser.is_known(key[0]) else waiting.since
            if now - since >= WAIT_SECONDS:
                groups += [(self._pop(waiting.tasks, 1), None) for _ in range(len(waiting.tasks))]
                del self.waiting[key]
        return groups

    def _share(self, count, function):
        """How many of so many calls of a function are one group's share. Groups become smaller towards the end, so that no
        CPU waits for long for the last of another, but not so small that they cost more than they do."""
        share = -(-count // (2 * self.cpus))
        if share * self.fuser.functions[function].seconds >= SHARE_SECONDS:
            return share
        return -(-count // min(self.under_way_max - self.under_way, 2 * self.cpus))

    def flush(self):
        """All that waits, each call by itself."""
        groups = [([task], None) for waiting in self.waiting.values() for task in waiting.tasks]
        self.waiting.clear()
        self.ids.clear()
        return groups

    def _pop(self, tasks, size):
        group = [tasks.popleft() for _ in range(size)]
        self.ids.difference_update(task.id for task in group)
        return group

    def ended(self):
        """A group that counted is not under way any more."""
        self.under_way -= 1
        self.ended_at = time.monotonic()


class ActorLine:
    """Calls of one actor, in order. Short ones wait for others under way, so that more of them go together."""

    def __init__(self, fuser):
        self.fuser = fuser
        self.under_way = 0
        self.turn = 0
        self.waiting = collections.deque()
        # When a group was last sent, or ended.
        self.moved_at = time.monotonic()

    def add(self, task):
        self.waiting.append(task)

    def take(self, under_way_max=ACTOR_GROUPS_MAX):
        """The groups that are to be sent now, each with this line, if it counts them as under way."""
        groups = []
        while self.waiting:
            if not self._may_join(self.waiting[0]):
                groups.append(([self.waiting.popleft()], None))
            elif self.under_way < under_way_max:
                groups.append((self._pop(), self))
                self.under_way += 1
            else:
                break
            # Groups that several threads take may be sent in any order.
            groups[-1][0][0].turn = self.turn
            self.turn += 1
        if groups:
            self.moved_at = time.monotonic()
        return groups

    def overdue(self):
        """As `take`, with one group more where the first call has waited for long."""
        is_late = time.monotonic() - self.moved_at >= ACTOR_WAIT_SECONDS
        return self.take(self.under_way + 1) if is_late else []

    def _pop(self):
        group, seconds = [], 0.0
        while self.waiting and self._may_join(self.waiting[0]) and len(group) < CALLS_MAX:
            seconds += self.fuser.functions[self.waiting[0].function].seconds
            if group and seconds > ACTOR_SECONDS_MAX:
                break
            group.append(self.waiting.popleft())
        return group

    def _may_join(self, task):
        waits = task.needs or (task.carries and not task.held)
        return not waits and self.fuser.is_short(task.function)

    def ended(self):
        """A group that this line counts is not under way any more, or not all of it."""
        self.under_way -= 1
        self.moved_at = time.monotonic()
