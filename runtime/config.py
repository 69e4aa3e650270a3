"""One TOML file per program, read strictly into a model; every key overridable by environment.

A model is a tree of `Section` classes: a nested section is a TOML table, everything else a value.
Keys are written with dots (`gateway.listen`) and are snake_case.

Environment. With the prefix `SIMPUL_NODE__` the key `gateway.listen` is
`SIMPUL_NODE__GATEWAY__LISTEN`: the prefix, then the key in capitals with `__` for each dot. It wins
over the file. Its value is taken as text where the key takes that text, and is otherwise read as a
TOML value: `8443`, `true`, `["a", "b"]`, `{ a = 1 }`.

Rules: an unknown key, in the file or behind the prefix, is an error that names the nearest known
one; nothing is converted silently (`"8443"` is no integer); every error is one line with where it
came from, the key and what was expected; a secret's value is never in it. What merely resembles the
prefix (`SIMPUL_NODE_PORT`, as Kubernetes sets it) is not ours and is left.
"""

import difflib
import enum
import json
import tomllib
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union

from pydantic import BaseModel, ConfigDict, PlainValidator, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from runtime.ports import Address, TcpAddress, parse_address
from runtime.redaction import names_a_secret
from security.errors import Code, SimpulError

SEPARATOR = "__"
MAX_FILE_BYTES = 1024 * 1024
MAX_SHOWN_CHARS = 80

# What was expected, in the words of a TOML file and not of a validator.
_EXPECTED = {
    "bool_type": "must be true or false",
    "dict_type": "must be a table",
    "float_type": "must be a number",
    "int_type": "must be an integer",
    "list_type": "must be a list",
    "model_type": "must be a table",
    "string_type": "must be text",
    "tuple_type": "must be a list",
}


class Section(BaseModel):
    """A table of the file. Frozen: configuration does not change while a program runs."""

    model_config = ConfigDict(extra="forbid", frozen=True)


M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class ConfigKey:
    """One row of the reference page: `default` is as TOML writes it, or `required`."""

    key: str
    type: str
    default: str
    doc: str


def _address(value: object) -> Address:
    if isinstance(value, Address):
        return value
    if not isinstance(value, str):
        raise ValueError("must be an address: HOST:PORT, [IPV6]:PORT or unix:PATH")  # noqa: TRY004
    try:
        return parse_address(value)
    except SimpulError as error:
        raise ValueError(error.message) from error


def _tcp_address(value: object) -> TcpAddress:
    address = _address(value)
    if not isinstance(address, TcpAddress):
        raise ValueError("must be HOST:PORT or [IPV6]:PORT")  # noqa: TRY004
    return address


# For models: a value that is parsed while the file is read, so that its error names the key.
ListenAddress = Annotated[Address, PlainValidator(_address)]
ListenTcp = Annotated[TcpAddress, PlainValidator(_tcp_address)]


def load(model: type[M], file: Path, env: Mapping[str, str], prefix: str) -> M:
    """Reads `file`, lays what `env` holds behind `prefix` over it, and validates the whole.

    Args:
        model: A `Section` class: the file's top level.
        file: Must exist; may be empty.
        env: Usually `os.environ`.
        prefix: `SIMPUL_NODE__` or `SIMPUL_REGISTRY__`.

    Raises:
        SimpulError: CONFIG_INVALID, one line: the file or the variable, the key, what was expected.
    """
    tree = _read(file)
    keys = dict(_leaves(model))
    _refuse_unknown(model, tree, file, tuple(keys), ())
    overrides = _overrides(tuple(keys), env, prefix)
    for key, text in overrides.items():
        _put(tree, key, text, file)
    try:
        return _validate(model, tree)
    except ValidationError as error:
        texts_that_fit_not = {_key(item["loc"], keys) for item in error.errors()} & overrides.keys()
    for key in texts_that_fit_not:
        _put(tree, key, _toml_value(overrides[key]), file)
    try:
        return _validate(model, tree)
    except ValidationError as error:
        raise _explain(error, file, prefix, keys, overrides) from error


def variable(prefix: str, key: str) -> str:
    """The environment's name of a key: `SIMPUL_NODE__GATEWAY__LISTEN` for `gateway.listen`."""
    return prefix + key.upper().replace(".", SEPARATOR)


def describe(model: type[BaseModel]) -> list[ConfigKey]:
    """Every key of `model` in the order of its definition, for a reference page."""
    return [
        ConfigKey(
            key=key,
            type=_type_name(field.annotation),
            default="required" if field.is_required() else _toml_text(_default(field)),
            doc=field.description or "",
        )
        for key, field in _leaves(model)
    ]


def _read(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as handle:
            data = handle.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError as error:
        raise _invalid(f"{file}: does not exist: create it, or name another file") from error
    except OSError as error:
        raise _invalid(f"{file}: can't be read ({error.strerror})") from error
    if len(data) > MAX_FILE_BYTES:
        raise _invalid(f"{file}: is larger than {MAX_FILE_BYTES} bytes")
    try:
        return tomllib.loads(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise _invalid(f"{file}: is not UTF-8 text") from error
    except tomllib.TOMLDecodeError as error:
        raise _invalid(f"{file}: is not TOML: {error}") from error


def _leaves(model: type[BaseModel], above: str = "") -> Iterator[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        section = _section(field)
        if section is None:
            yield above + name, field
        else:
            yield from _leaves(section, f"{above}{name}.")


def _section(field: FieldInfo) -> type[BaseModel] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _refuse_unknown(
    model: type[BaseModel],
    tree: Mapping[str, Any],
    file: Path,
    keys: tuple[str, ...],
    above: tuple[str, ...],
) -> None:
    for name, value in tree.items():
        field = model.model_fields.get(name)
        if field is None:
            key = ".".join((*above, name))
            sections = tuple(k.rpartition(".")[0] for k in keys if "." in k)
            raise _invalid(f"{file}: {key}: unknown key{_nearest(key, (*keys, *sections))}", key)
        section = _section(field)
        if section is not None and isinstance(value, Mapping):
            _refuse_unknown(section, value, file, keys, (*above, name))


def _overrides(keys: tuple[str, ...], env: Mapping[str, str], prefix: str) -> dict[str, str]:
    known = {variable(prefix, key): key for key in keys}
    found: dict[str, str] = {}
    for name in sorted(env):
        if not name.startswith(prefix):
            continue
        if name not in known:
            near = _nearest(name, tuple(known))
            raise _invalid(f"environment: {name}: unknown key{near}", name)
        found[known[name]] = env[name]
    return found


def _nearest(name: str, known: tuple[str, ...]) -> str:
    folded = {key.lower(): key for key in known}
    match = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.5)
    if not match:
        # A right name in a wrong section: the last part decides.
        last = name.lower().replace(SEPARATOR, ".").rpartition(".")[2]
        match = [k for k in folded if k.replace(SEPARATOR, ".").rpartition(".")[2] == last][:1]
    return (
        f"; did you mean {folded[match[0]]}?" if match else "; it has no near relative: remove it"
    )


def _put(tree: dict[str, Any], key: str, value: object, file: Path) -> None:
    *sections, last = key.split(".")
    place = tree
    for section in sections:
        inner = place.setdefault(section, {})
        if not isinstance(inner, dict):
            raise _invalid(f"{file}: {section}: must be a table", section)
        place = inner
    place[last] = value


def _toml_value(text: str) -> object:
    """`text` as a TOML value; itself where it is none."""
    try:
        parsed = tomllib.loads(f"value = {text}\n")
    except tomllib.TOMLDecodeError:
        return text
    return parsed["value"] if parsed.keys() == {"value"} else text


def _validate(model: type[M], tree: Mapping[str, Any]) -> M:
    # As JSON, pydantic's strict mode takes text for paths and enums, and arrays for tuples, which
    # is all that a TOML file can say; and still no text for a number.
    return model.model_validate_json(json.dumps(tree, default=str), strict=True)


def _key(location: tuple[int | str, ...], keys: Mapping[str, FieldInfo]) -> str:
    """The known key that an error's location lies in; the location itself for a missing section."""
    parts = [str(part) for part in location]
    for length in range(len(parts), 0, -1):
        if ".".join(parts[:length]) in keys:
            return ".".join(parts[:length])
    return ".".join(parts)


def _explain(
    error: ValidationError,
    file: Path,
    prefix: str,
    keys: Mapping[str, FieldInfo],
    overrides: Mapping[str, str],
) -> SimpulError:
    first, *rest = error.errors(include_url=False)
    key = _key(first["loc"], keys)
    where = f"environment: {variable(prefix, key)}" if key in overrides else f"{file}: {key}"
    inside = ".".join(str(part) for part in first["loc"]).removeprefix(key).lstrip(".")
    place = f"{where} (at {inside})" if inside and key in keys else where
    more = f" (and {len(rest)} more)" if rest else ""
    return _invalid(f"{place}: {_fault(first, key, keys.get(key))}{more}", key)


def _fault(item: ErrorDetails, key: str, field: FieldInfo | None) -> str:
    if item["type"] == "missing":
        return "is missing: add it"
    if item["type"] == "extra_forbidden":
        return "unknown key: remove it"
    own = item["msg"].removeprefix("Value error, ").replace("Input should be", "must be", 1)
    text = _EXPECTED.get(item["type"], own)
    secret = names_a_secret(key) or (field is not None and field.annotation is SecretStr)
    if secret or item["type"] == "value_error":
        return text
    return f"{text}, not {_shown(item['input'])}"


def _shown(value: object) -> str:
    text = _toml_text(value)
    return text if len(text) <= MAX_SHOWN_CHARS else text[:MAX_SHOWN_CHARS] + "…"


def _invalid(message: str, key: str | None = None) -> SimpulError:
    details = {} if key is None else {"key": key}
    return SimpulError(Code.CONFIG_INVALID, " ".join(message.split()), **details)


def _default(field: FieldInfo) -> object:
    return field.get_default(call_default_factory=True, validated_data={})


def _toml_text(value: object) -> str:
    match value:
        case None:
            return "none"
        case SecretStr():
            return "(secret)"
        case bool():
            return "true" if value else "false"
        case enum.Enum():
            return _toml_text(value.value)
        case int() | float():
            return str(value)
        case list() | tuple() | set() | frozenset():
            return f"[{', '.join(_toml_text(item) for item in value)}]"
        case Mapping():
            pairs = (f"{name} = {_toml_text(item)}" for name, item in value.items())
            return f"{{ {', '.join(pairs)} }}" if value else "{}"
        case _:
            return json.dumps(str(value), ensure_ascii=False)


_TYPE_NAMES: dict[object, str] = {
    int: "integer",
    float: "number",
    bool: "true or false",
    str: "text",
    Path: "path",
    SecretStr: "secret text",
    TcpAddress: "HOST:PORT",
    Address: "HOST:PORT or unix:PATH",
    type(None): "none",
}


def _type_name(kind: object) -> str:
    try:
        if kind in _TYPE_NAMES:
            return _TYPE_NAMES[kind]
    except TypeError:
        pass
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        return _type_name(arguments[0])
    if origin is Literal:
        return " or ".join(_toml_text(item) for item in arguments)
    if origin in {Union, types.UnionType}:
        return " or ".join(_type_name(item) for item in arguments)
    if origin in {list, tuple, set, frozenset}:
        return f"list of {_type_name(arguments[0])}"
    if origin is not None and arguments:
        return f"table of {_type_name(arguments[-1])}"
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return " or ".join(_toml_text(item) for item in kind)
    return getattr(kind, "__name__", str(kind))
