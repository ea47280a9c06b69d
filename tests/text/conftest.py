"""Tokenizers made for these tests, with chat templates of several families, written here."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

# In the manner of Qwen2.5: a default system prompt, tools' answers wrapped into user turns, neighbours joined.
QWEN = """{%- if messages[0]['role'] == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
{%- else %}
    {{- '<|im_start|>system\\nYou are a test.<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == 'user' or (message.role == 'system' and not loop.first) or message.role == 'assistant' %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == 'tool' %}
        {%- if loop.index0 == 0 or messages[loop.index0 - 1].role != 'tool' %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\\n<tool_response>\\n' }}
        {{- message.content }}
        {{- '\\n</tool_response>' }}
        {%- if loop.last or messages[loop.index0 + 1].role != 'tool' %}
            {{- '<|im_end|>\\n' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""

# In the manner of Gemma: no system turn, roles alternate, contents trimmed, the assistant has another name.
STRICT = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    "{% for message in messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles alternate') }}{% endif %}"
    "{% set role = 'model' if message['role'] == 'assistant' else message['role'] %}"
    "{{ '<|im_start|>' + role + '\n' + message['content'] | trim + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>model\n' }}{% endif %}"
)

# What templates may use besides: a macro, a namespace, loop controls, tojson, generation blocks.
RICH = """{%- macro turn(role) -%}<|im_start|>{{ role }}
{% endmacro -%}
{%- set seen = namespace(count=0) %}
{%- for message in messages %}
  {%- if message.role == 'tool' %}{{ turn('tool') }}{{ {'result': message.content} | tojson }}<|im_end|>
{% continue %}{% endif %}
  {%- set seen.count = seen.count + 1 %}
  {%- if message.role == 'assistant' %}
    {{- turn('assistant') }}{% generation %}{{ message.content }}<|im_end|>{% endgeneration %}{{ '\\n' }}
  {%- else %}
    {{- turn(message.role) }}{{ message.content }}<|im_end|>{{ '\\n' }}
  {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ turn('assistant') }}{% endif %}"""

TEMPLATES = {"chatml": CHATML, "qwen": QWEN, "strict": STRICT, "rich": RICH}

SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")

LINES = ("The quick brown fox jumps over the lazy dog.", "system user assistant model", "def f(x):\n    return x + 1")

FolderMaker = Callable[..., Path]


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> FolderMaker:
    """A function that makes a folder with tokenizer.json, tokenizer_config.json and the template given by name."""
    made: dict[str, Path] = {}

    def make(name: str, **settings: Any) -> Path:
        key = f"{name} {sorted(settings.items())}"
        if key not in made:
            made[key] = tmp_path_factory.mktemp(name)
            byte_level(made[key])
            config = {
                "tokenizer_class": "PreTrainedTokenizerFast",
                "bos_token": SPECIALS[0],
                "eos_token": {"__type": "AddedToken", "content": SPECIALS[2], "lstrip": False, "special": True},
                "pad_token": SPECIALS[0],
                "chat_template": TEMPLATES[name],
                **settings,
            }
            (made[key] / "tokenizer_config.json").write_text(json.dumps(config))
        return made[key]

    return make


def byte_level(folder: Path) -> None:
    """Write a byte-level BPE tokenizer.json of 400 tokens into `folder`."""
    bpe = tokenizers.Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe.train_from_iterator(
        LINES * 3, trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, special_tokens=list(SPECIALS))
    )
    bpe.save(str(folder / "tokenizer.json"))
