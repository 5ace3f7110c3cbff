"""The head of the boot's bytecode: python's import takes from there what bundle.py packs, without a file for each."""

import marshal
from _frozen_importlib import ModuleSpec  # what importlib.machinery hands on, whose own file would have to be read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType


class Bundle:
    """Finds and loads its modules; by name: whether it is a package, and its marshalled code."""

    def __init__(self, modules: dict[str, tuple[bool, bytes]]) -> None:
        self._modules = modules

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """What python asks before it looks for files."""
        if name not in self._modules:
            return None
        return ModuleSpec(name, self, is_package=self._modules[name][0])  # type: ignore[arg-type]  # no importlib.abc

    def create_module(self, spec: ModuleSpec) -> None:
        """Leave it to python."""

    def exec_module(self, module: "ModuleType") -> None:
        """Run a module's code. A boot needs half of all, so each is unmarshalled when it is asked for."""
        exec(marshal.loads(self._modules[module.__name__][1]), module.__dict__)  # noqa: S102, S302  # root's own file
