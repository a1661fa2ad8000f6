"""Objects that hold secrets or plaintext, and so do not print what they hold."""


class Unshown:
    """Put before ``msgspec.Struct``: the repr is the class's name alone.

    Objects end up in logs, tracebacks and failed assertions without anybody deciding so.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"
