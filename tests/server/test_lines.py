"""Log lines are written in batches, in order, and none is lost at the end."""

import io
import json
import logging
import os
import select
import threading
import weakref

import pytest

from coffret_server import lines

PATIENCE = 20.0
"""Seconds within which all of this is done many times over, unless somebody waits for ever."""


class Stream(io.StringIO):
    """A stream that counts its flushes, and can fail."""

    flushes = 0
    broken = False

    def flush(self) -> None:
        """What a disk would be asked."""
        if self.broken:
            raise OSError
        self.flushes += 1


def logger(handler: logging.Handler) -> logging.Logger:
    """A logger of its own that writes to the handler alone."""
    made = logging.getLogger(f"test.lines.{id(handler)}")
    made.setLevel(logging.INFO)
    made.propagate = False
    made.addHandler(handler)
    return made


def test_lines_keep_their_order_and_are_all_there_at_the_end() -> None:
    """Many lines are a few writes; closing writes what waits and ends the thread."""
    stream = Stream()
    handler = lines.BatchedHandler(stream)
    log = logger(handler)
    before = set(threading.enumerate())
    for number in range(1_000):
        log.info("line %d", number)
    handler.close()
    assert stream.getvalue() == "".join(f"line {number}\n" for number in range(1_000))
    assert stream.flushes < 100
    assert set(threading.enumerate()) <= before


def test_a_line_is_written_without_another_one_or_the_end() -> None:
    """What is logged can be read soon, by a person who watches."""
    written = threading.Event()

    class Watched(Stream):
        def flush(self) -> None:
            written.set()

    stream = Watched()
    handler = lines.BatchedHandler(stream)
    logger(handler).info("one")
    assert written.wait(10)
    assert stream.getvalue() == "one\n"
    handler.close()


def test_lines_that_wait_are_bounded() -> None:
    """Where the thread does not get to write, what is too much is left out, and that is said."""
    stream = Stream()
    handler = lines.BatchedHandler(stream)
    log = logger(handler)
    handler._thread = threading.current_thread()  # nobody writes
    for number in range(lines.MOST + 3):
        log.info("%d", number)
    handler._thread = None
    log.info("later")
    handler.close()
    *written, last = stream.getvalue().splitlines()
    assert written == [str(number) for number in range(lines.MOST)]
    assert json.loads(last)["lines_left_out"] == 4


@pytest.mark.attack(61)
def test_a_log_that_nobody_reads_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe whose reader stands still, and is full, holds up no request, and not the end."""
    monkeypatch.setattr(lines, "LAST_SECONDS", 0.01)
    reading, writing = os.pipe()
    handler = lines.BatchedHandler(lines.Descriptor(writing))
    log = logger(handler)

    def serve() -> None:
        for _ in range(3):
            for number in range(lines.MOST):
                log.info("%0200d", number)
        logging.shutdown([weakref.ref(handler)])  # as at the end of a process

    served = threading.Thread(target=serve, daemon=True)
    served.start()
    served.join(PATIENCE)
    is_done = not served.is_alive()
    os.close(reading)  # whoever waits for it is told
    assert is_done
    assert handler._thread is not None
    handler._thread.join(PATIENCE)
    os.close(writing)


def test_a_reader_who_comes_back_reads_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """What did not fit is not there, what did is, whole and in order, and how much is missing."""
    monkeypatch.setattr(lines, "MOST", 10)
    reading, writing = os.pipe()
    handler = lines.BatchedHandler(lines.Descriptor(writing))
    log = logger(handler)
    with handler._writing:  # as while the pipe is full
        for number in range(1_000):
            log.info("%d", number)
    handler.close()
    os.close(writing)
    with open(reading) as stream:  # noqa: PTH123 - a descriptor
        found = stream.read().splitlines()
    *kept, last = found
    assert kept == [str(number) for number in range(10)]
    assert json.loads(last)["lines_left_out"] == 990


def test_a_log_that_cannot_be_written_stops_nobody() -> None:
    """A full disk under the log is not a reason to refuse memories."""
    stream = Stream()
    stream.broken = True
    handler = lines.BatchedHandler(stream)
    log = logger(handler)
    log.info("one")
    log.info("two")
    stream.broken = False
    handler.close()
    assert stream.getvalue() == "one\ntwo\n"


def test_writing_that_failed_midway_goes_on_from_there() -> None:
    """A pipe that takes no more at once loses no line, nor a part of one."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    handler = lines.BatchedHandler(lines.Descriptor(writing))
    log = logger(handler)
    wanted = "".join(f"{number:0200d}\n" for number in range(2_000)).encode()
    with handler._writing:  # so that all of it is one batch
        for number in range(2_000):
            log.info("%0200d", number)
    found = b""
    while len(found) < len(wanted) and select.select([reading], [], [], PATIENCE)[0]:
        found += os.read(reading, 65_536)
    handler.close()
    os.close(writing)
    os.close(reading)
    assert found == wanted


def test_what_a_library_says_is_a_line_without_data() -> None:
    """Its own words and the place of an error: nothing that was put into them, no message."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(lines.PlainFormatter())
    log = logger(handler)
    try:
        message = "canary in a message"
        raise ValueError(message)  # noqa: TRY301 - to be caught right here
    except ValueError:
        log.exception("it failed with %s\nand canary", "canary")
    line = json.loads(stream.getvalue())
    assert (line["said"], line["error"]) == ("it failed with %s", "ValueError")
    assert line["at"][0].startswith("test_what_a_library_says_is_a_line_without_data:")
    assert "canary" not in stream.getvalue()
