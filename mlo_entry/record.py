"""Frozen records: what the boot needs of `dataclasses`, without an import that costs as much as a whole warm boot."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar

    from typing_extensions import dataclass_transform
else:

    def dataclass_transform(**_):  # noqa: D103  # stands for typing's own
        return lambda cls: cls


@dataclass_transform(frozen_default=True)
class Record:
    """A frozen dataclass in small: fields are the annotations, in order; a class attribute is a field's default."""

    fields: ClassVar[tuple[str, ...]] = ()
    hidden: ClassVar[tuple[str, ...]] = ()  # fields of which repr tells the length alone

    def __init_subclass__(cls) -> None:
        own = tuple(name for name, kind in cls.__annotations__.items() if not str(kind).startswith("ClassVar"))
        cls.fields = cls.fields + own

    def __init__(self, *values: Any, **named: Any) -> None:
        given = dict(zip(self.fields, values, strict=False)) | named
        absent = [name for name in self.fields if name not in given and not hasattr(type(self), name)]
        if absent or len(values) > len(self.fields) or given.keys() - set(self.fields):
            raise TypeError(f"{type(self).__name__}{self.fields} got {len(values)} values and {sorted(named)}")
        self.__dict__.update(given)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen")

    def values(self) -> dict[str, Any]:
        """Each field with its value, in order."""
        return {name: getattr(self, name) for name in self.fields}

    def shown(self) -> dict[str, Any]:
        """The values as they may be printed: a hidden one is its length."""
        return {
            name: f"<{len(value)} bytes>" if name in self.hidden and value else value
            for name, value in self.values().items()
        }

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self.values() == other.values()

    def __hash__(self) -> int:
        return hash(tuple(self.values().values()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.shown().items())})"
