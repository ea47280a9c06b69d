"""A small older installation: databases with all tables of the older layout, and trees of JSON lines."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from cases import EMAIL, KEY, Case

TABLES: dict[str, dict[str, list[dict[str, Any]]]] = {
    "training_data.db": {
        "training_examples": [
            {
                "id": f"made-up-{number}",
                "source": source,
                "format": "instruction",
                "input_text": f"When does valve {number} of the tank close?",
                "output_text": f"Valve {number} closes when the level passes {number + 3} litres, and not before.",
                "quality_score": 0.9,
                "quality_tier": "gold",
                "metadata": json.dumps({"shift": "night"}),
                "created_at": "2024-03-01T10:00:00",
                "session_id": f"s{number}",
            }
            for number, source in enumerate(["git_commits", "manual", "an older source"], 1)
        ]
        + [
            {
                "id": "made-up-4",
                "source": "conversation_capture",
                "format": "multi_turn",
                "input_text": f"Tell {EMAIL} that the pump is clean, the token is {KEY}.",
                "output_text": "Done. Run the pump for a minute and listen whether the humming is gone.",
                "conversation_history": json.dumps(
                    [{"role": "user", "content": "It hums."}, {"role": "assistant", "content": "Clean the intake."}]
                ),
                "created_at": 1709300000,
            }
        ],
        "export_history": [{"id": 1, "path": "train.jsonl", "count": 4}],
    },
    "distillation.db": {
        "examples": [
            {
                "id": 1,
                "prompt": "Why does the pump lose its prime overnight?",
                "sam_attempt": "Because it is old.",
                "teacher_response": "Air gets in at the shaft seal, so that the water falls back into the well.",
                "domain": "reasoning",
            },
            {
                "id": 2,
                "prompt": "How often is the filter washed?",
                "teacher_response": "Every two weeks in summer, and when the pressure behind it falls below one bar.",
            },
            {
                "id": 3,
                "prompt": "What colour is the valve?",
                "teacher_response": "I cannot see it, so I do not know which colour the valve has.",
            },
        ],
        "reasoning_patterns": [
            {
                "id": 1,
                "example_id": 1,
                "pattern_type": "multi_step",
                "steps": json.dumps(["Find the leak", "Say why"]),
            },
            {"id": 2, "example_id": 99, "pattern_type": "direct", "steps": "[]"},
        ],
        "corrections": [
            {
                "id": 1,
                "prompt": "At which pressure does the tank open its valve?",
                "incorrect": "At two bar.",
                "why": "two bar is the test pressure",
                "correct": "It opens at six bar, and closes again at five.",
            }
        ],
        "principles": [{"id": 1, "principle": "Name the cause before the remedy.", "confidence": 0.8}],
        "review_queue": [
            {"id": 1, "example_id": 2, "status": "pending"},
            {"id": 2, "example_id": 3, "status": "rejected"},
        ],
        "chain_of_thought": [
            {
                "id": 1,
                "question": "How long does the tank take to fill at 20 litres a minute?",
                "reasoning_steps": json.dumps(["The tank holds 600 litres.", "600 divided by 20 is 30."]),
                "answer": "It takes 30 minutes.",
            }
        ],
        "preference_pairs": [
            {
                "id": 1,
                "prompt": "Describe the pump in one sentence.",
                "chosen": "It lifts water from the well into the tank behind the house.",
                "rejected": "Pumps are important machines of which there are many.",
            }
        ],
        "skill_templates": [{"id": 1, "name": "explain a fault", "template": "cause, then remedy"}],
        "raw_interactions": [
            {
                "id": 1,
                "query": "Where is the main switch of the pump?",
                "local_response": "Somewhere in the house, I think.",
                "response": "It is in the grey box on the left of the cellar door.",
            }
        ],
        "filter_rejections": [{"id": 1, "prompt": "x", "response": "y", "rejection_reason": "too short"}],
    },
    "knowledge_distillation.db": {
        "knowledge": [
            {
                "id": 1,
                "question": "What does a check valve do?",
                "answer": "It lets water pass in one direction and holds it back in the other.",
                "topic": "valves",
            }
        ]
    },
}

FILES: dict[str, list[dict[str, Any]]] = {
    "training_data/2024/03/day.jsonl": [
        {
            "instruction": "When does valve 1 of the tank close?",
            "input": "",
            "output": "Valve 1 closes when the level passes 4 litres, and not before.",
        },
        {"instruction": "Which key opens the cellar?", "output": "The small one on the hook beside the door."},
    ],
    "feedback_derived/corrections.jsonl": [
        {
            "id": "feedback-1",
            "question": "Who repairs the pump?",
            "original_response": "You do.",
            "correction": "The plumber from the village does, on Fridays.",
            "reason": "the warranty forbids it",
        }
    ],
    "feedback_derived/preferences.jsonl": [
        {
            "prompt": "Say good night to the pump.",
            "chosen": "Good night, pump. You may rest until the tank is empty.",
            "rejected": "I am a language model and have no pump.",
        }
    ],
    "auto_training_data/batch_1.jsonl": [
        {
            "prompt": "Name the three taps.",
            "completion": "They are the garden tap, the kitchen tap and the drain tap.",
        }
    ],
    "processed/all.jsonl": [
        {"instruction": "Which key opens the cellar?", "output": "The small one on the hook beside the door."}
    ],
    "jobs/7/made_up_answers.jsonl": [
        {"instruction": "When was the well dug?", "output": "In the dry summer of 1976, by hand, in three weeks."}
    ],
    "jobs/8/made_up_answers.jsonl": [
        {
            "instruction": "How deep is the well?",
            "output": "This job has not ended, and nobody knows whether it is right.",
        }
    ],
}
STATUS = {"jobs/7/status.json": "completed", "jobs/8/status.json": "running"}


def make(folder: Path) -> Path:
    home = folder / "made_up_sam"
    for name, tables in TABLES.items():
        write_database(home / name, tables)
    for name, records in FILES.items():
        write_lines(home / name, records)
    for name, status in STATUS.items():
        (home / name).write_text(json.dumps({"status": status}))
    (home / "config.json").write_text(json.dumps({"model": "some/base", "port": 8080}))
    return home


def write_lines(path: Path, records: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def write_database(path: Path, tables: dict[str, list[dict[str, Any]]], journal: str = "DELETE") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(f"PRAGMA journal_mode = {journal}")
        for table, rows in tables.items():
            columns = list(dict.fromkeys(name for row in rows for name in row))
            database.execute(f"CREATE TABLE {table} ({', '.join(columns)})")
            insert(database, table, rows)


def insert(database: sqlite3.Connection, table: str, rows: list[dict[str, Any]]) -> None:
    for row in rows:
        marks = ", ".join("?" * len(row))
        database.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", list(row.values()))


def add_one(location: Path) -> None:
    row = {
        "id": 2,
        "question": "What does a gate valve do?",
        "answer": "It opens the whole pipe, or shuts all of it.",
    }
    with closing(sqlite3.connect(location / "knowledge_distillation.db")) as database, database:
        insert(database, "knowledge", [row])


def grow(folder: Path, size_bytes: int) -> Path:
    text = " ".join(f"word{number}" for number in range(100))
    rows = [
        {"id": number, "input_text": f"{number}: {text}", "output_text": f"{text}, and that is answer {number}."}
        for number in range(size_bytes // 1_800)
    ]
    write_database(folder / "many.db", {"training_examples": rows})
    return folder


CASE = Case(name="sam-home", make=make, add_one=add_one, alone=True, grow=grow)
