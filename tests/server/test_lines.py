"""Log lines are written in batches, in order, and none is lost at the end."""

import io
import json
import logging
import threading

from coffret_server import lines


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
    before = threading.active_count()
    for number in range(1_000):
        log.info("line %d", number)
    handler.close()
    assert stream.getvalue() == "".join(f"line {number}\n" for number in range(1_000))
    assert stream.flushes < 100
    assert threading.active_count() == before


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
    """Where the thread does not get to write, whoever adds a line writes them all."""
    stream = Stream()
    handler = lines.BatchedHandler(stream)
    log = logger(handler)
    handler._thread = threading.current_thread()  # nobody writes
    for number in range(lines.MOST + 1):
        log.info("%d", number)
    assert stream.getvalue().count("\n") == lines.MOST + 1
    handler._thread = None
    handler.close()


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
