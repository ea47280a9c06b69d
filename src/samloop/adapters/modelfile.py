"""The Modelfile that has Ollama serve a GGUF file as samloop would: template, ends of an answer, system prompt."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

CHATML: Final = (
    "{{ range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n"
)
"""ChatML in the template language of Ollama, which does not read the one in the file but guesses from it."""

_PROBE: Final = (
    {"role": "system", "content": "one"},
    {"role": "user", "content": "two"},
    {"role": "assistant", "content": "three"},
    {"role": "user", "content": "four"},
)

Render = Callable[[Sequence[Mapping[str, Any]], bool], str]


def is_chatml(render: Render) -> bool:
    """Whether a chat template writes ChatML and nothing else."""
    said = "".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in _PROBE)
    return render(_PROBE, True) == f"{said}<|im_start|>assistant\n"


def own_system_prompt(render: Render) -> str:
    """The system prompt that a ChatML template puts before a conversation without one; empty: none."""
    text = render(_PROBE[1:2], False)
    begin, end = "<|im_start|>system\n", "<|im_end|>\n"
    return text.removeprefix(begin).partition(end)[0] if text.startswith(begin) else ""


def modelfile(weights: str, *, render: Render, ends: Sequence[str], system_prompt: str = "") -> str:
    """The text of a Modelfile for the GGUF file `weights`, which lies beside it.

    Args:
        render: the base's chat template.
        ends: the tokens that end an answer, as text.
        system_prompt: of the recipe; without one, that of the template goes in, as it did in training.
    """
    lines = [f"FROM ./{weights}"]
    if is_chatml(render):
        lines.append(f'TEMPLATE """{CHATML}"""')
        system_prompt = system_prompt or own_system_prompt(render)
    else:
        lines.append("# Not ChatML: Ollama takes the template it knows for the one in the file.")
    lines += [f"PARAMETER stop {_quoted(end)}" for end in sorted(ends)]
    if system_prompt:
        lines.append(f"SYSTEM {_quoted(system_prompt)}")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """`text` as Ollama reads it: three quotes hold lines and single quotes, and cannot hold three."""
    return f'"""{text.replace(chr(34) * 3, chr(39) * 3)}"""'
