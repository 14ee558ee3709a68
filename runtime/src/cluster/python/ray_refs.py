"""What Ray gives for a ref: what the object is, once it is there, or the exception that says why it is not."""


class Failure(Exception):
    """A failure by its outcome."""


def when_there(ref, tell):
    """Tells what the object is, once it is there. Until then there is a ref to it: what is large comes only so, and Ray
    ends this process where it has forgotten an object that has refs inside."""
    ref._on_completed(lambda value, _=ref: tell(value))


def failed(value):
    return isinstance(value, Exception)


def first_lines(error):
    return " ".join(str(error).split("\n\n")[0].split())
