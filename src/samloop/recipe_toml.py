"""Settings as TOML text, each key with its meaning as a comment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tomli_w
from pydantic import BaseModel


def section_toml(name: str, section: BaseModel) -> str:
    plain = section.model_dump(mode="json", exclude_none=True)
    lines, tables = [f"[{name}]"], []
    for key, info in type(section).model_fields.items():
        value, nested = plain[key], getattr(section, key)
        if isinstance(nested, BaseModel):
            tables.append(section_toml(f"{name}.{key}", nested))
        elif isinstance(value, dict) and value and all(isinstance(table, dict) for table in value.values()):
            tables += [_table_toml(f"[{name}.{key}.{inner}]", table) for inner, table in value.items()]
        elif isinstance(value, dict):
            header = f"[{name}.{key}]"
            tables.append(_table_toml(f"{header}  # {info.description}" if info.description else header, value))
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            tables += [_table_toml(f"[[{name}.{key}]]", table) for table in value]
        else:
            text = _assignment_toml(key, value)
            lines.append(f"{text}  # {info.description}" if info.description else text)
    return "\n".join(lines) + "\n" + "".join("\n" + table for table in tables)


def _table_toml(header: str, table: Mapping[str, Any]) -> str:
    return "\n".join([header, *(_assignment_toml(key, value) for key, value in table.items())]) + "\n"


def _assignment_toml(key: str, value: Any) -> str:
    lines = [line.strip() for line in tomli_w.dumps({key: value}).splitlines()]
    return " ".join(lines).replace("[ ", "[", 1).removesuffix(", ]") + ("]" if lines[-1] == "]" else "")
