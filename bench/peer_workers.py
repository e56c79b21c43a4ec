"""Cases shared out to processes for bench/peers.py: several get ready side by side, and one at a time is timed.

A child is told the numbers of its cases and says one JSON object a line on its stdout:

    {"begun": n}                what it is at
    {"case": n, "figures": {}}  what a case came to, an error included
    {"ready": true}             all of its cases have run once
    {"gives_up": true}          it ends, as the device does not answer; its other cases are for another

It then reads a line from its stdin before each case that it times, and ends where there is none.
"""

import collections
import contextlib
import json
import math
import queue
import subprocess
import sys
import threading
import time


def serve(say, numbers, prepare, finish, given=None):
    """The child's part: its exit status. `prepare` and `finish` give figures and whether the device still answers; of
    what is prepared without an error, the figures are given to `finish`. Without `finish` a case is done once prepared.
    """
    given = sys.stdin if given is None else given

    def tell(**message):
        print(json.dumps(message), file=say, flush=True)

    sound = {}
    for number in numbers:
        tell(begun=number)
        figures, answers = prepare(number)
        if finish is None or "error" in figures:
            tell(case=number, figures=figures)
        else:
            sound[number] = figures
        if not answers:
            tell(gives_up=True)
            return 1
    tell(ready=True)
    for number, before in sound.items():
        if not given.readline():
            return 0
        tell(begun=number)
        figures, answers = finish(number, before)
        tell(case=number, figures=figures)
        if not answers:
            tell(gives_up=True)
            return 1
    return 0


class Worker:
    """A child process as far as it has been heard."""

    def __init__(self, command, numbers, said):
        self.left = list(numbers)
        self.begun = None
        self.spoke = False
        self.ready = False
        # Nothing to be heard of it until it is told to go on.
        self.waits = False
        self.ended = False
        self.late = False
        self.gave_up = False
        self.heard = time.perf_counter()
        self.process = subprocess.Popen(
            [*command, "--child", ",".join(map(str, numbers))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        threading.Thread(target=self.listen, args=(said,), daemon=True).start()

    def listen(self, said):
        for line in self.process.stdout:
            with contextlib.suppress(ValueError):
                said.put((self, json.loads(line)))
        self.process.wait()
        said.put((self, None))

    def go(self):
        self.waits = False
        self.heard = time.perf_counter()
        with contextlib.suppress(OSError):
            self.process.stdin.write("go\n")
            self.process.stdin.flush()


class Workers:
    """
    `groups`: lists of numbers of cases, a process each. `report(number, figures)` is told of every case once, or it is left
    over. `left_of_budget()` is in seconds: once it is 0 nothing is begun, and processes that are not ready are ended.
    """

    def __init__(self, command, groups, *, at_once, patience, left_of_budget, report):
        self.command = command
        self.waiting = collections.deque(map(list, groups))
        self.at_once = at_once
        self.patience = patience
        self.left_of_budget = left_of_budget
        self.report = report
        self.said = queue.Queue()
        self.alive = []
        self.figures = {}

    def run(self, timed=True):
        """Prepares and times batch by batch; not `timed`, as many as may be at once are. How many cases are left over."""
        try:
            while (self.waiting or self.alive) and not self.over():
                while self.waiting and len(self.alive) < self.at_once:
                    self.alive.append(Worker(self.command, self.waiting.popleft(), self.said))
                if timed:
                    self.batch(list(self.alive))
                else:
                    self.hear()
                    self.tell()
        finally:
            left = sum(map(len, self.waiting)) + sum(len(worker.left) for worker in self.alive)
            for worker in list(self.alive):
                self.end(worker)
            self.tell()
        return left

    def over(self):
        return self.left_of_budget() <= 0

    def batch(self, workers):
        while any(not (worker.waits or worker.ended) for worker in workers) and not self.over():
            self.hear()
        for worker in workers:
            while worker.left and worker.waits and not worker.ended and not self.over():
                worker.go()
                # What has begun is waited for, whatever the budget.
                while not (worker.waits or worker.ended):
                    self.hear(late=True)
            if not (worker.left or worker.ended):
                self.end(worker)
        self.tell()

    def tell(self):
        """Reports what is known, in the order of the list."""
        for number in sorted(self.figures):
            self.report(number, self.figures.pop(number))

    def hear(self, late=False):
        """One message, or none once the budget is spent or a process has been silent for too long."""
        busy = [worker for worker in self.alive if not worker.waits]
        now = time.perf_counter()
        waits = [worker.heard + self.patience - now for worker in busy] + ([] if late else [self.left_of_budget()])
        try:
            worker, message = self.said.get(timeout=min(max(0.01, min(waits, default=math.inf)), 3600))
        except queue.Empty:
            for worker in busy:
                if time.perf_counter() - worker.heard >= self.patience:
                    worker.late = True
                    worker.heard = time.perf_counter()
                    worker.process.kill()
            return
        if worker.ended:
            return
        worker.heard = time.perf_counter()
        worker.spoke = worker.spoke or message is not None
        if message is None:
            self.lost(worker)
        elif "begun" in message:
            worker.begun = message["begun"]
        elif "ready" in message:
            worker.ready = worker.waits = True
        elif "gives_up" in message:
            worker.gave_up = True
        elif "case" in message:
            self.done(worker, message["case"], message["figures"])
            worker.waits = worker.ready

    def done(self, worker, number, figures):
        worker.left.remove(number)
        worker.begun = None
        self.figures[number] = figures

    def lost(self, worker):
        """A process has ended. The case it was at has failed, or all if it said nothing; the others go to a new process."""
        status = worker.process.returncode
        how = f"it said nothing for {self.patience:g} s" if worker.late else f"its process ended with status {status}"
        failed = worker.left[:1] if worker.spoke else list(worker.left)
        if worker.begun in worker.left:
            failed = [worker.begun]
        elif worker.gave_up:
            failed = []
        for number in failed:
            self.done(worker, number, {"error": f"{how}{'' if worker.spoke else ' before its first case'}"})
        if worker.left:
            self.waiting.appendleft(worker.left)
            worker.left = []
        self.end(worker)

    def end(self, worker):
        worker.ended = True
        worker.process.kill()
        with contextlib.suppress(OSError):
            worker.process.stdin.close()
        self.alive.remove(worker)
