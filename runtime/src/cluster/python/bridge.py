"""What a program asks of the cluster, by frames, and what it is told: the same for the driver, whose frames
come to the sidecar, and for a program in worker mode, whose frames come to the host.

The program is told of completions, without asking: of few and short ones by whoever knows of them, and else in batches, by
a thread: while one batch is written the next one gathers. Nothing here waits for the cluster, so a program that asks for
much is read all the same.
"""

import os
import queue
import sys
import threading

from . import frames, outcome
from .fusing import ActorLine, Fuser, Line
from .sent import Sent
from .task import Task

# The most completions in a frame.
BATCH_MAX = 256
# How often it is looked whether calls wait for long that are to go with others.
LOOK_SECONDS = 0.1
# How long the engine may take for a call on another thread that this one has something to do with.
LEAVE_SECONDS = 10.0


class Held:
    """An object that the program has a ref to."""

    __slots__ = ("handle", "sent", "count")

    def __init__(self, handle, sent):
        # What the engine knows it by.
        self.handle = handle
        # The task that makes it, where that was sent from here.
        self.sent = sent
        # How often the program was given its id.
        self.count = 0


class Bridge:
    """Serves one program, by one engine."""

    def __init__(self, engine, writer):
        self.engine = engine
        self.writer = writer
        self.fuser = Fuser(engine.cpus)
        # Every object that the program has a ref to.
        self.objects = {}
        # Why actors could not be started, by their ids.
        self.refused = {}
        self.line = Line(self.fuser, engine.cpus)
        # By the ids of actors; and those in which calls wait.
        self.actor_lines = {}
        self.gathering = set()
        # Whether somebody looks at the lines when time has passed.
        self.is_watched = False
        self.lock = threading.Lock()
        # Calls that were taken out of the lines, by any thread, and are not the engine's yet: their ids.
        self.leaving = set()
        self.left = threading.Condition(self.lock)
        self.news = queue.SimpleQueue()
        # Whether this process's first thread is at a message of the program's.
        self.is_busy = False
        # How many news are not written, and the lock of those who add to them.
        self.untold = 0
        self.telling = threading.Lock()
        # What the program waits for, and whether one of it is enough.
        self.blocked_on = []
        self.any_will_do = False
        self.teller = None

    # From the program.

    def handle(self, message):
        """Does what one message asks for."""
        name, *arguments = message
        known = getattr(self, f"on_{name}", None)
        if known is None:
            raise ValueError(f"a message of the unknown name {name!r}")
        self.is_busy = True
        try:
            known(*arguments)
        finally:
            self.is_busy = False

    def on_submit(self, tasks):
        tasks = [Task(*task) for task in tasks]
        groups, actor_lines = [], {}
        with self.lock:
            for task in tasks:
                if task.may_be_fused() and self._are_stored(task.needs) and self._are_stored(task.carries):
                    task.hold(self.objects)
                    self.line.add(task)
                    continue
                if not self.line.ids.isdisjoint(task.needs) or not self.line.ids.isdisjoint(task.carries):
                    groups += self.line.flush()
                if task.actor is None:
                    groups.append(([task], None))
                else:
                    if task.carries and not task.needs and self._are_stored(task.carries):
                        task.hold(self.objects)
                    actor_line = self.actor_lines.setdefault(task.actor, ActorLine(self.fuser))
                    actor_line.add(task)
                    actor_lines[actor_line] = None
            groups += self.line.take()
            for actor_line in actor_lines:
                groups += actor_line.take()
                self._note(actor_line)
            self._watch()
            self._leave_lines(groups)
        self._send(groups)

    def _are_stored(self, ids):
        """Whether the objects are there, because the program has put or lent them: a call that needs them, or has them
        inside, waits for nothing."""
        return not ids or all(map(self._is_stored, ids))

    def _is_stored(self, id):
        held = self.objects.get(id)
        return held is not None and held.sent is None and self.engine.is_stored(held.handle)

    def _needed_now(self, ids):
        """Something is asked of these objects, so their calls do not wait any more."""
        with self.lock:
            groups = [] if self.line.ids.isdisjoint(ids) else self.line.flush()
            self._leave_lines(groups)
        self._send(groups)
        self._wait_until_left(ids)

    def went_on(self, line):
        """A task of the cluster has ended, which this line has counted, if any. Any thread."""
        with self.lock:
            groups = []
            if line is not None:
                line.ended()
                groups += line.take()
            if line is not self.line:
                groups += self.line.take()
                if line is not None:
                    self._note(line)
            self._leave_lines(groups)
        self._send(groups)

    def _note(self, actor_line):
        """Whether calls wait in it. The lock is held."""
        if actor_line.waiting:
            self.gathering.add(actor_line)
        else:
            self.gathering.discard(actor_line)

    def _watch(self):
        """Sees to it that nothing waits for long while nothing ends. The lock is held."""
        if (self.line.ids or self.gathering) and not self.is_watched:
            self.is_watched = True
            timer = threading.Timer(LOOK_SECONDS, self._look)
            timer.daemon = True
            timer.start()

    def _look(self):
        with self.lock:
            self.is_watched = False
            groups = self.line.overdue()
            for actor_line in list(self.gathering):
                groups += actor_line.overdue()
                self._note(actor_line)
            self._watch()
            self._leave_lines(groups)
        self._send(groups)

    def _leave_lines(self, groups):
        """These groups are about to be sent. The lock is held, without a break since they were taken: so each call that the
        program has made is waiting, leaving, or an object."""
        self.leaving.update(task.id for group, _ in groups for task in group)

    def _wait_until_left(self, ids):
        """Waits for other threads that are about to send calls of these ids."""
        if self.leaving.isdisjoint(ids):
            return
        with self.lock:
            self.left.wait_for(lambda: self.leaving.isdisjoint(ids), LEAVE_SECONDS)

    def _send(self, groups):
        for group, line in groups:
            for task in group:
                self._wait_until_left(task.needs)
                self._wait_until_left(task.carries)
            try:
                self._send_group(group, line)
            finally:
                with self.lock:
                    self.leaving.difference_update(task.id for task in group)
                    self.left.notify_all()
            for task in group:
                if task.held:
                    self.on_free(task.held)

    def _send_group(self, group, line):
        sent = Sent(group, self, line)
        refused = self._refusal(group)
        try:
            handles = None if refused else self.engine.submit(group, sent)
        except Exception as error:
            refused = self.engine.failure(error)
        if refused:
            if group[0].actor is not None:
                self.engine.skip(group[0])
            else:
                self._keep_refusals(group, refused)
            sent.ended(refused)
            return
        for task, handle in zip(group, handles):
            self.adopt(task.id, handle, sent)

    def _keep_refusals(self, group, refused):
        """The results of calls that were not taken are objects like others: who has got such a ref asks for them."""
        for task in group:
            try:
                self.adopt(task.id, self.engine.put(refused))
            except outcome.Cannot:
                # Nobody but the caller can have it.
                return

    def _refusal(self, group):
        """Why the engine cannot take these calls, which ask for the same."""
        lost = [id for task in group for id in (*task.needs, *task.carries) if id not in self.objects]
        if lost:
            return outcome.failed("ObjectLost", f"object {lost[0].hex()} is not known here")
        if group[0].actor is not None:
            return self.refused.get(group[0].actor)
        return self.engine.refusal(group[0])

    def on_host(self, id, options):
        """A place for an actor is wanted; its calls tell if there is none."""
        try:
            refused = self.engine.host(id, options, self, lambda text: self._say("lost", [id, text]))
        except Exception as error:
            refused = self.engine.failure(error)
        if refused is not None:
            self.refused[id] = refused

    def on_unhost(self, id, ends):
        self.refused.pop(id, None)
        self.actor_lines.pop(id, None)
        try:
            self.engine.unhost(id, ends)
        except Exception as error:
            # As for what is cancelled.
            print(f"mobula: an actor was not given up on the cluster: {error}", file=sys.stderr)

    def on_take_back(self, id, calls, begun, children):
        try:
            self.engine.take_back(id, calls, begun, children)
        except Exception as error:
            # As for what is cancelled.
            print(f"mobula: calls were not taken back: {error}", file=sys.stderr)

    def on_done(self, id, status, carries, payload):
        self.engine.answer(id, (status, payload, self.handles(carries), 0.0))

    def on_more(self, id, count):
        held = self.objects.get(id)
        if held is not None and hasattr(held.handle, "more"):
            held.handle.more(count)
        elif held is not None and held.sent is not None:
            self.engine.go_on(held.sent, id)
        # A stream that was refused has ended already.

    def on_put(self, id, status, carries, payload):
        try:
            self.adopt(id, self.engine.put((status, payload, self.handles(carries), 0.0)))
        except Exception as error:
            self.completed(id, self.engine.failure(error))
        else:
            self.completed(id, (outcome.REMOTE, len(payload), {}, 0.0))

    def on_lend(self, id):
        """A handle of one of the program's actors is about to go out, and is an object from then on."""
        held = self.objects.get(id)
        try:
            handle = self.engine.lend(held and held.handle, lambda count: self._say("back", [id, count]))
        except Exception as error:
            # What it is for fails, and the actor lives on.
            print(f"mobula: a handle of an actor cannot go to the cluster: {error}", file=sys.stderr)
        else:
            self.adopt(id, handle)

    def on_fetch(self, id):
        self._needed_now([id])
        held = self.objects.get(id)
        if held is None:
            self.fetched(id, outcome.failed("ObjectLost", "its last ref is gone"))
        else:
            self.engine.fetch(held.handle, lambda result: self.fetched(id, result))

    def on_watch(self, ids):
        self._needed_now(ids)
        for id in ids:
            held = self.objects.get(id)
            if held is None:
                self.completed(id, outcome.failed("ObjectLost", "its last ref is gone"))
            else:
                self.engine.watch(held.handle, lambda result, id=id: self.completed(id, result))

    def on_cancel(self, id, force, children):
        self._needed_now([id])
        held = self.objects.get(id)
        try:
            if held is not None and held.sent is not None:
                held.sent.cancel(id, force, children)
            elif held is not None:
                self.engine.cancel(held.handle[0], [id], force, [] if children else [id])
        except Exception as error:
            # It was a wish; the task tells how it ends.
            print(f"mobula: a task was not cancelled: {error}", file=sys.stderr)

    def on_free(self, counted):
        self._wait_until_left([id for id, _ in counted])
        for id, count in counted:
            with self.lock:
                held = self.objects.get(id)
                if held is None:
                    continue
                held.count -= count
                if held.count > 0:
                    continue
                del self.objects[id]
            _close(held.handle)

    def on_blocked(self, ids, any):
        self._needed_now(ids)
        self.any_will_do = any
        self.blocked_on = [self.objects[id].handle for id in ids if id in self.objects]

    def on_unblocked(self):
        self.blocked_on = []
        self.engine.unblock()

    # For the host.

    def close(self):
        """The program is gone: nobody is told any more, and its refs are dropped."""
        with self.lock:
            objects, self.objects = self.objects, {}
        for held in objects.values():
            _close(held.handle)
        self.news.put((None, None))

    def is_blocked(self):
        return bool(self.blocked_on)

    def block(self, seconds):
        """Waits on this thread, in a way that the engine sees, for what the program waits for."""
        if self.engine.block(self.blocked_on, self.any_will_do, seconds):
            self.blocked_on = []

    def handles(self, ids):
        """The handles of objects that go out of this process inside of a value. Whoever gets them asks for them here no
        more, so their calls go now."""
        if ids:
            self._needed_now(ids)
        return {id: self.objects[id].handle for id in ids if id in self.objects}

    # From the engine, on any thread.

    def adopt(self, id, handle, sent=None):
        """The program has, or is about to be told, the id once more."""
        with self.lock:
            self.objects.setdefault(id, Held(handle, sent)).count += 1

    def completed(self, id, result):
        self.completed_all([(id, result)])

    def completed_all(self, results):
        """Calls that were one task of the cluster have ended."""
        items = [self._adopted(id, result) for id, result in results]
        if not items:
            return
        with self.telling:
            # Whoever tells gives the interpreter up for a moment, and gets it late where the first thread is busy.
            if not self.is_busy and self.untold == 0 and self._tell_at_once(items):
                return
            for item in items:
                self._leave("done", item)

    def item(self, stream, handle, result):
        """A stream has an item, of which the program is told with a new id."""
        id = os.urandom(16)
        self.adopt(id, handle)
        self._say("item", [stream, *self._adopted(id, result)])

    def upcall(self, caller, id, call, values, carries, lent):
        """A task asks for something that is done with the program's actors; `lent`: ids of handles that it has."""
        for carried, handle in carries.items():
            self.adopt(carried, handle)
        self._say("upcall", [caller, id, call, values, [*carries, *lent]])

    def cancel_upcall(self, id, children):
        self._say("cancel", [id, children])

    def fetched(self, id, result):
        self._say("fetched", self._adopted(id, result))

    def _adopted(self, id, result):
        """A result as the program is told of it, which then has the refs inside."""
        status, payload, carries, _ = result
        for carried, handle in carries.items():
            self.adopt(carried, handle)
        return [id, status, list(carries), payload]

    def _tell_at_once(self, items):
        """Tells what is short on this thread. To wake another one takes longer."""
        if any(status != outcome.REMOTE and len(payload) > frames.SHORT_BYTES for _, status, _, payload in items):
            return False
        try:
            return self.writer.send_at_once(["done", items])
        except OSError:
            # As in `_tell_all`.
            return True
        except frames.Unfit:
            # It tells so.
            return False

    def _say(self, name, item):
        with self.telling:
            self._leave(name, item)

    def _leave(self, name, item):
        """Leaves it to the thread that tells. `telling` is held."""
        self.untold += 1
        self.news.put((name, item))
        if self.teller is None:
            self.teller = threading.Thread(target=self._tell_all, daemon=True)
            self.teller.start()

    def _tell_all(self):
        try:
            while self._tell_some():
                pass
        except (OSError, ValueError):
            # Nobody listens any more; who reads the program's frames sees the end, too.
            pass

    def _tell_some(self):
        """Writes what there is to tell, and waits for something first. False: the end."""
        batch = []
        name, item = self.news.get()
        while True:
            if name == "done":
                batch.append(item)
            if name != "done" or len(batch) == BATCH_MAX or self.news.empty():
                break
            name, item = self.news.get()
        count = len(batch)
        if batch:
            self._send_done(batch)
        if name not in ("done", None):
            self._send_fitting(name, item)
            count += 1
        with self.telling:
            self.untold -= count
        return name is not None

    def _send_done(self, batch):
        try:
            self.writer.send(["done", batch])
        except frames.Unfit as error:
            if len(batch) == 1:
                self.writer.send(["done", [_unfit(batch[0], error)]])
                return
            for item in batch:
                self._send_done([item])

    def _send_fitting(self, name, item):
        try:
            self.writer.send([name, *item])
        except frames.Unfit as error:
            if name == "upcall":
                self.engine.answer(item[1], outcome.failed("Engine", str(error)))
            else:
                self.writer.send([name, *_unfit(item, error)])


def _unfit(item, error):
    """What is told of an object instead of what does not fit into a message."""
    status, payload, *_ = outcome.failed("Engine", str(error))
    return [*item[:-3], status, [], payload]


def _close(handle):
    """Gives up what a handle stands for, where that is more than an object of the cluster's."""
    if hasattr(handle, "close"):
        try:
            handle.close()
        except Exception as error:
            print(f"mobula: it was not given up on the cluster: {error}", file=sys.stderr)
