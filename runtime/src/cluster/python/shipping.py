"""How these modules get to where they are needed: as text inside of messages, never as files.

The driver's process, the sidecar and every worker of the cluster have the package under the same name,
which holds a digest of its text. So two programs with different versions of it can share a worker, and what
one process pickles by name another one finds.
"""

import importlib
import importlib.abc
import importlib.util
import sys


class Texts(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Finds and loads the modules of one package, which are given as text."""

    def __init__(self, package, texts):
        self.package = package
        self.texts = texts

    def find_spec(self, name, path, target=None):
        package, _, module = name.partition(".")
        if package != self.package or (module and module not in self.texts):
            return None
        return importlib.util.spec_from_loader(name, self, is_package=not module)

    def is_package(self, name):
        return name == self.package

    def get_source(self, name):
        return self.texts.get(name.partition(".")[2], "")


def install(package, texts):
    """Makes the package importable in this process. To call it again does nothing."""
    if not any(getattr(finder, "package", None) == package for finder in list(sys.meta_path)):
        sys.meta_path.append(Texts(package, texts))


def caller(package, texts, module, function, *first):
    """A function that calls `function` of `module` wherever it is sent, with `first` before its arguments.

    It brings the package along, so it is for engines that send a function once, not with each call.
    """

    def call(*arguments):
        install(package, texts)
        return getattr(importlib.import_module(f"{package}.{module}"), function)(*first, *arguments)

    return call


def generator(package, texts, module, function, *first):
    """As `caller`, of a function that yields: Ray looks whether what it is given does."""

    def generate(*arguments):
        install(package, texts)
        yield from getattr(importlib.import_module(f"{package}.{module}"), function)(*first, *arguments)

    return generate


def actor(package, texts, module, name, *first):
    """A class whose methods are those of the class `name` of `module` wherever it is sent, made with `first` before
    its arguments. Methods that wait for others run side by side."""

    class Actor:
        def __init__(self, *arguments):
            install(package, texts)
            kind = getattr(importlib.import_module(f"{package}.{module}"), name)
            self.inner = kind(*first, *arguments)

        async def call(self, *arguments):
            return await self.inner.call(*arguments)

        async def late(self, *arguments):
            return await self.inner.late(*arguments)

        async def next(self, *arguments):
            return await self.inner.next(*arguments)

        async def take_back(self, *arguments):
            return self.inner.take_back(*arguments)

        async def give_up(self, *arguments):
            return self.inner.give_up(*arguments)

        async def take(self):
            return await self.inner.take()

        async def answer(self, *arguments):
            return self.inner.answer(*arguments)

        async def passes(self, *arguments):
            return self.inner.passes(*arguments)

        async def leaves(self, *arguments):
            return self.inner.leaves(*arguments)

        async def cancel(self, *arguments):
            return self.inner.cancel(*arguments)

        async def kind(self, *arguments):
            return self.inner.kind(*arguments)

        async def ended(self):
            return await self.inner.ended()

    return Actor


def package_of(module):
    """Name and texts of the package that `module` is one of."""
    finder = sys.modules[module].__spec__.loader
    return finder.package, finder.texts


def plugin(base, package, texts):
    """A plugin of Dask's, of the class `base`, that installs the package on each worker."""

    class Install(base):
        def setup(self, worker):
            install(package, texts)

    return Install()
