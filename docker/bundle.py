"""Packs mlo_entry into the one file of bytecode that docker/entry.c starts: python3 bundle.py LIB OUTPUT.pyc

To find, open and read the modules one by one would take a warm boot 2 ms. Python itself refuses a .pyc of another
version ("Bad magic number"). The sources beside it are for people, and for what runs after the boot.
"""

import __future__

import ast
import marshal
import sys
from importlib.util import MAGIC_NUMBER
from pathlib import Path
from types import CodeType

UNCHECKED = (0b01).to_bytes(4, "little") + bytes(8)  # a .pyc by hash, which python never checks against a source
MAIN = """
import sys
sys.meta_path.insert(0, Bundle({modules!r}))
from mlo_entry.__main__ import start
start()
"""


def main(lib: Path, output: Path) -> None:
    """Write `output`: loader.py, the modules below `lib`, and the start of the boot."""
    loader = Path(__file__).with_name("loader.py")
    source = loader.read_text() + MAIN.format(modules=pack(lib))
    output.write_bytes(MAGIC_NUMBER + UNCHECKED + marshal.dumps(compile(source, loader, "exec", dont_inherit=True)))


def pack(lib: Path) -> dict[str, tuple[bool, bytes]]:
    """The modules below `lib`, as loader.py takes them."""
    modules = {}
    for path in sorted(lib.rglob("*.py")):
        *parents, name = path.relative_to(lib).with_suffix("").parts
        is_package = name == "__init__"
        modules[".".join(parents if is_package else [*parents, name])] = (is_package, marshal.dumps(compiled(path)))
    return modules


def compiled(path: Path) -> CodeType:
    """A module's code, without docstrings.

    `from __future__ import annotations` is a flag of it: for the line, python would read a file.
    """
    tree = ast.parse(path.read_bytes())
    tree.body = [node for node in tree.body if not (isinstance(node, ast.ImportFrom) and node.module == "__future__")]
    code: CodeType = compile(tree, path, "exec", __future__.annotations.compiler_flag, dont_inherit=True, optimize=2)
    return code


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
