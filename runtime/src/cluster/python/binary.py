"""The user's program on the nodes of the cluster: found where it is the driver's own file, else copied there,
once a node, under a name made of its content."""

import hashlib
import os
import stat
import tempfile


def describe(path):
    """What another node needs to know of the program at `path`."""
    path = os.path.realpath(path)
    found = os.stat(path)
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256") if hasattr(hashlib, "file_digest") else _digest(file)
    return {
        "path": path,
        "size": found.st_size,
        "modified": found.st_mtime_ns,
        "digest": digest.hexdigest(),
    }


def _digest(file):
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    return digest


def is_here(binary):
    """Whether the driver's file is on this node: the same machine, or a shared file system."""
    try:
        found = os.stat(binary["path"])
    except OSError:
        return False
    return (found.st_size, found.st_mtime_ns) == (binary["size"], binary["modified"])


def locate(binary, content):
    """Path of the program on this node. `content` gives its bytes, and is called only where they are missing."""
    if is_here(binary):
        return binary["path"]
    path = os.path.join(_folder(), binary["digest"])
    if not os.path.exists(path):
        _write(path, content(), binary["digest"])
    return path


def store(binary, content):
    """Puts the program on this node, where it is missing."""
    locate(binary, lambda: content)


def _folder():
    """A folder that nobody else can write to."""
    path = os.path.join(tempfile.gettempdir(), f"mobula-{os.getuid()}")
    os.makedirs(path, mode=0o700, exist_ok=True)
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise PermissionError(f"{path} is not a folder that only this user can write to")
    return path


def _write(path, content, digest):
    """Whole or not at all, whoever else writes it."""
    if hashlib.sha256(content).hexdigest() != digest:
        raise ValueError("the program came with other content than the driver's")
    descriptor, partial = tempfile.mkstemp(dir=os.path.dirname(path))
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        os.chmod(partial, 0o700)
        os.replace(partial, path)
    except BaseException:
        os.unlink(partial)
        raise
