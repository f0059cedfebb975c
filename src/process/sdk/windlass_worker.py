"""Steps of windlass workflows in Python. One file, standard library only, Python 3.9 or later.

    from windlass_worker import step, run

    @step("measure")
    def measure(ctx):
        return {"length": len(ctx.item)}

    run()

The return value of the function (anything that JSON can represent) becomes the value of the step. Its output goes to
`windlass logs`. docs/workers.md of windlass describes everything else, and the protocol for other languages.
"""

import fcntl
import inspect
import json
import os
import struct
import sys
import threading
import time
import traceback

__all__ = ["Context", "Permanent", "Retryable", "finalize", "run", "step"]

PROTOCOL = 1
LONGEST = 16 << 20


class Failure(Exception):
    """Why a step failed. `kind` is a short code for programs."""

    retryable = True
    kind = "failed"

    def __init__(self, message="", kind=None):
        super().__init__(message)
        if kind is not None:
            self.kind = kind


class Retryable(Failure):
    """A retry may help. Exceptions of other types count as Retryable."""

    kind = "retryable"


class Permanent(Failure):
    """A retry would not help."""

    retryable = False
    kind = "permanent"


_steps = {}
_finalizers = []


def step(name=None):
    """Makes a function the handler of a step: @step("name"), or @step for the function's own name.

    A generator reports progress: it may yield a number done, (done, total), (done, total, message) or a message, and
    returns the value of the step.
    """
    if callable(name):
        return step(name.__name__)(name)

    def register(function):
        label = name or function.__name__
        if label in _steps:
            raise ValueError("two steps are named %r" % label)
        _steps[label] = function
        return function

    return register


def finalize(function):
    """Makes a function run at the end of every unit, the newest first. It may take one argument: the `ctx.unit` of the steps."""
    _finalizers.append(function)
    return function


class Input:
    """The result of an earlier step: its value, and the directory with its files (None if it left none)."""

    def __init__(self, value, dir):
        self.value = value
        self.dir = dir

    @property
    def files(self):
        """The names of its files."""
        found = []
        for folder, _, names in os.walk(self.dir) if self.dir else ():
            found.extend(os.path.relpath(os.path.join(folder, name), self.dir) for name in names)
        return sorted(found)

    def __repr__(self):
        return "Input(value=%r, dir=%r)" % (self.value, self.dir)


class Artifacts:
    """The output files of the step, and those of earlier steps."""

    def __init__(self, out, inputs):
        self._out = out
        self._inputs = inputs

    @property
    def out(self):
        """The directory for files that become artifacts of the step. Created on first access."""
        os.makedirs(self._out, exist_ok=True)
        return self._out

    def path(self, name):
        """The path at which to write a file that becomes an artifact of the step."""
        path = os.path.normpath(os.path.join(self._out, name))
        if not path.startswith(os.path.join(self._out, "")):
            raise Permanent("%r is not the name of a file below the output directory" % name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return path

    def put(self, name, content):
        """Writes an artifact from bytes, text or an open file. Returns its path."""
        path = self.path(name)
        if isinstance(content, str):
            content = content.encode("utf-8")
        with open(path, "wb") as file:
            if hasattr(content, "read"):
                while True:
                    part = content.read(1 << 20)
                    if not part:
                        break
                    file.write(part.encode("utf-8") if isinstance(part, str) else part)
            else:
                file.write(content)
        return path

    def get(self, step, name=None):
        """The bytes of a file of an earlier step. The name is optional if the step left exactly one file."""
        with open(self.find(step, name), "rb") as file:
            return file.read()

    def find(self, step, name=None):
        """The path of a file of an earlier step."""
        source = self._inputs.get(step)
        if source is None:
            raise Permanent("no earlier step is named %r; there are: %s" % (step, ", ".join(self._inputs) or "none"))
        files = source.files
        if name is None and len(files) == 1:
            name = files[0]
        if name not in files:
            raise Permanent("step %r left no file %r; it left: %s" % (step, name, ", ".join(files) or "none"))
        return os.path.join(source.dir, name)


class Context:
    """The context of a step, and what it can report."""

    def __init__(self, request, channel, unit):
        self._channel = channel
        self._id = request["id"]
        #: Printed names such as "g12", "r34", "s56". `step` is the same for every attempt, so it works as an idempotency key.
        self.group = request["group"]
        self.run = request["run"]
        self.step = request["step"]
        #: The number of the attempt, from 1, and a number that no other attempt ever has.
        self.attempt = request["attempt"]
        self.token = request["token"]
        self.handler = request["handler"]
        self.item = request.get("item")
        self.params = request.get("params")
        #: `with:` of the step.
        self.config = request.get("with")
        inputs = (request.get("inputs") or {}).items()
        self.inputs = {name: Input(it.get("value"), it.get("dir")) for name, it in inputs}
        self.artifact = Artifacts(request["out"], self.inputs)
        limit = request.get("deadline_ms")
        #: The `time.monotonic()` after which the worker is stopped; None if there is no limit.
        self.deadline = None if limit is None else time.monotonic() + limit / 1000
        #: Shared by the steps of a unit; empty at the start of the next unit.
        self.unit = unit

    def log(self, message, level="info"):
        """Writes a line to the log of the attempt."""
        self._channel.send({"type": "log", "id": self._id, "level": level, "message": str(message)})

    def progress(self, done=None, total=None, message=None):
        """Reports the progress of the step."""
        self._channel.send({"type": "progress", "id": self._id, "done": done, "total": total, "message": message})


def _take_channel():
    """Takes the descriptors of the protocol and hides them from child processes: high numbers, close-on-exec.

    Also removes their variables, so that no child process uses them.
    """
    numbers = os.environ.pop("WINDLASS_FDS", None)
    nonce = os.environ.pop("WINDLASS_NONCE", "")
    if numbers is None:
        return None
    requests, answers = (_out_of_the_way(int(it)) for it in numbers.split(","))
    return _Channel(requests, answers, nonce)


def _out_of_the_way(number):
    """Moves a descriptor to a high number and makes it close-on-exec."""
    try:
        moved = fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 100)
        os.close(number)
        return moved
    except OSError:  # a low limit on open files
        os.set_inheritable(number, False)
        return number


class _Channel:
    def __init__(self, requests, answers, nonce):
        self.requests = os.fdopen(requests, "rb", buffering=1 << 16)
        self.answers = answers
        self.nonce = nonce
        self.lock = threading.Lock()
        self.forked = False
        if hasattr(os, "register_at_fork"):
            # A forked process without exec would keep the pipes open, and could send messages for us.
            os.register_at_fork(after_in_child=self.let_go)

    def let_go(self):
        nothing = os.open(os.devnull, os.O_RDWR)
        for number in (self.requests.fileno(), self.answers):
            os.dup2(nothing, number, inheritable=False)
        os.close(nothing)
        self.forked = True

    def send(self, message):
        body = _encode(message)
        if len(body) > LONGEST:
            raise Permanent("a message of %d bytes; a frame holds %d" % (len(body), LONGEST), "too_large")
        self.write(struct.pack(">I", len(body)) + body)

    def write(self, frame):
        view = memoryview(frame)
        if self.forked:
            raise RuntimeError("a forked process can't speak for the worker")
        with self.lock:
            while view:
                view = view[os.write(self.answers, view):]

    def receive(self):
        """The next request; None if the engine is gone."""
        header = self.requests.read(4)
        if len(header) < 4:
            return None
        (length,) = struct.unpack(">I", header)
        body = self.requests.read(length)
        return json.loads(body) if len(body) == length else None


def _encode(message):
    return json.dumps(message, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8")


_PAGE = os.sysconf("SC_PAGE_SIZE")
_statm = None


def _resident_pages():
    """Keeps the file open between calls, and reopens it if a step has closed it."""
    global _statm
    try:
        return int(os.pread(_statm, 128, 0).split()[1])
    except (OSError, TypeError, ValueError, IndexError):
        _statm = _out_of_the_way(os.open("/proc/self/statm", os.O_RDONLY))
        return int(os.pread(_statm, 128, 0).split()[1])


def _health():
    """The current resource usage; None if the system can't provide it. A peak such as ru_maxrss would be wrong."""
    rss = fds = None
    try:
        rss = _resident_pages() * _PAGE
    except (OSError, ValueError, IndexError):
        pass
    try:
        # Since Linux 6.2, the size of this directory is the number of descriptors; before, it was 0.
        fds = os.stat("/proc/self/fd").st_size or len(os.listdir("/proc/self/fd")) - 1
    except OSError:
        try:
            fds = len(os.listdir("/dev/fd")) - 1
        except OSError:
            pass
    return {"rss_bytes": rss, "open_fds": fds}


def _run_step(context):
    function = _steps.get(context.handler)
    if function is None:
        known = ", ".join(sorted(_steps)) or "none"
        raise Permanent("the worker has no handler %r; it has: %s" % (context.handler, known), "no_handler")
    result = function(context)
    if inspect.isgenerator(result):
        result = _follow(context, result)
    elif inspect.iscoroutine(result):
        import asyncio

        result = asyncio.run(result)
    return result


def _follow(context, generator):
    while True:
        try:
            told = next(generator)
        except StopIteration as stop:
            return stop.value
        if isinstance(told, (tuple, list)):
            context.progress(*told[:3])
        elif isinstance(told, str):
            context.progress(message=told)
        elif told is not None:
            context.progress(told)


def _finalize(unit):
    failed = None
    for function in reversed(_finalizers):
        try:
            function(unit) if inspect.signature(function).parameters else function()
        except Exception as error:
            traceback.print_exc()
            failed = failed or error
    if failed is not None:
        raise failed


def _failure(error):
    """Converts an exception to a failure of the protocol. The message names the line in the user's own code."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename == __file__:
        frames = frames.tb_next
    own = [it for it in traceback.extract_tb(frames) if not _is_library(it.filename)]
    text = "%s: %s" % (type(error).__name__, error) if str(error) else type(error).__name__
    if isinstance(error, Failure):
        text = str(error) or type(error).__name__
    if own:
        text += " (%s:%d, in %s)" % (os.path.basename(own[-1].filename), own[-1].lineno, own[-1].name)
    known = isinstance(error, Failure)
    return {
        "retryable": error.retryable if known else True,
        "kind": error.kind if known else type(error).__name__,
        "message": text,
        "traceback": "".join(traceback.format_exception(type(error), error, frames))[-65536:],
    }


def _is_library(path):
    return path.startswith((os.path.dirname(os.__file__), "<")) or "site-packages" in path or path == __file__


def _answer(request, channel, unit):
    kind = request.get("type")
    answer = {"type": "answer", "id": request.get("id")}
    try:
        if kind == "run":
            answer["value"] = _run_step(Context(request, channel, unit))
        elif kind == "finalize":
            try:
                _finalize(unit)
            finally:
                unit.clear()
        elif kind not in ("ping", "load", "shutdown"):
            raise Permanent("this library knows no request %r" % kind)
    except Exception as error:
        answer["failed"] = _failure(error)
    # Flush the output before the answer, so that it goes to the log of this step.
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            pass
    if not unit and not _finalizers:
        answer["clean"] = True
    answer["health"] = _health()
    try:
        channel.send(answer)
    except (TypeError, ValueError, RecursionError, Permanent) as error:
        reason = error if isinstance(error, Permanent) else "the step's value is not JSON: %s" % error
        answer.pop("value", None)
        answer["failed"] = {"retryable": False, "kind": "bad_value", "message": str(reason)}
        channel.send(answer)


def run():
    """Serves requests until there are no more. Call this last."""
    if _channel is None:
        sys.exit("this is a worker of windlass, which starts it: name it in `workers:` of a workflow file")
    _channel.send({"type": "hello", "nonce": _channel.nonce, "protocol": PROTOCOL, "pid": os.getpid()})
    unit = {}
    while True:
        request = _channel.receive()
        if request is None:
            return
        _answer(request, _channel, unit)
        if request.get("type") == "shutdown":
            return


_channel = _take_channel()
