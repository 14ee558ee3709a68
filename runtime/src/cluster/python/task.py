"""A call on its way to the cluster."""

from . import calling


# What calls ask for that go to the cluster by themselves.
ALONE = {"max_retries", "stream", "detached", "of_actors"}


class Task:
    """A call: what it is, what it needs, what it asks for."""

    __slots__ = ("id", "function", "call", "needs", "carries", "options", "options_key", "actor", "turn", "held")

    def __init__(self, id, function, call, needs, carries, options):
        # Names the result, for good and everywhere.
        self.id = id
        # Names the function, for what is learnt of it.
        self.function = function
        # Function, arguments and options, for the worker; nobody else looks into it.
        self.call = calling.MARK + call if options.get("python") else call
        # Ids of the objects whose values the call needs, in its order.
        self.needs = needs
        # Ids of the objects that are refs inside of its arguments.
        self.carries = carries
        self.options = options
        # The id of the actor whose call it is.
        self.actor = options.get("actor")
        # Of the first of calls that go to an actor together: their place in the order of all that do, from 0.
        self.turn = None
        # What the bridge keeps for it until it is sent, with how often. Then the call waits for nothing.
        self.held = []
        self.options_key = repr(sorted(options.items())) if options else ""

    def take_call(self):
        """The call, which is nobody's any more: where it is a view, the program wants its memory back."""
        call, self.call = self.call, None
        return call

    def hold(self, objects):
        """Lets these stay, as far as it needs them or has them inside, until they are freed."""
        if self.needs or self.carries:
            self.held = [(id, 1) for id in (*self.needs, *self.carries)]
            for id, _ in self.held:
                objects[id].count += 1

    def may_be_fused(self):
        return not (self.actor or self.options.keys() & ALONE)
